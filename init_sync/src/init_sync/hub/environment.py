"""What the environment says about the way to the hub, looked at before it is first used.

A library stumbles over a wrong value in words that name neither variable nor cure, or tries it again and again. A warm
start needs no hub and does not look. Values are never repeated: any of them may come from a Secret.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.hub.routes import read_proxy

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
TOKEN = re.compile(r"[\x21-\x7e]*")
QUOTES = ("'", '"', "`")
LONGEST_TOKEN_FILE = 64 * 1024


def refuse_wrong_environment(environment: Mapping[str, str]) -> None:
    """Raises NeedsChange with all that is wrong; values are not repeated."""
    if problems := list(_problems(environment)):
        raise NeedsChange(Reason.HUB_UNREACHABLE, f"asking the hub: {'; '.join(problems)}")


def _problems(environment: Mapping[str, str]) -> Iterator[str]:
    for name, problem_of in CHECKS.items():
        value = environment.get(name, "")
        if value and (problem := problem_of(value)):
            yield f"{name} {problem}"
    in_variables = environment.get("HF_TOKEN") or environment.get("HUGGING_FACE_HUB_TOKEN")
    path = environment.get("HF_TOKEN_PATH")
    if path is not None and not in_variables and (problem := _token_file_problem(path)):
        yield f"HF_TOKEN_PATH {problem}"


def endpoint_problem(url: str) -> str | None:
    """None for a URL of a hub, and for none at all: then it is the hub itself."""
    example = "give a URL such as https://huggingface.co"
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return f"is no URL; {example}"
    if parts.username is not None or parts.password is not None:
        return "holds a user or password, which logs would show; leave them out, and give a token as HF_TOKEN"
    is_hub = parts.scheme in ("http", "https") and host and not parts.query and not parts.fragment
    if not is_hub or url != "".join(url.split()):
        return f"is no URL of a hub; {example}"
    return None


def _proxy_problem(value: str) -> str | None:
    try:
        read_proxy(value, "")
    except ValueError as error:
        return str(error)
    return None


def _token_problem(value: str) -> str | None:
    token = value.strip()
    if token.startswith(QUOTES) or token.endswith(QUOTES):
        return "is in quotes, which no token has. Leave them out"
    if not TOKEN.fullmatch(token):
        return "holds a character that no token has. Copy the token again, without spaces or “Bearer”"
    return None


def _token_file_problem(path: str) -> str | None:
    if not path:
        return "is empty. Name the file that holds the token, or unset it"
    try:
        with Path(os.path.expandvars(path)).expanduser().open("rb") as file:
            text = file.read(LONGEST_TOKEN_FILE).decode()
    except FileNotFoundError:
        return "names no file. Mount the token there, or unset it"
    except IsADirectoryError:
        return "names a folder. Name the file in it that holds the token"
    except (OSError, UnicodeError, ValueError, RuntimeError) as error:
        cause = getattr(error, "strerror", None) or "not text"
        return f"names a file that cannot be read ({cause}). Make it readable for this user"
    if not text.strip():
        return "names an empty file. Put the token into it, or unset the variable"
    problem = _token_problem(text)
    return f"names a file whose text {problem}" if problem else None


def _certificates_problem(path: str) -> str | None:
    if not Path(path).is_file():
        return "names no file. Mount the certificates there, or unset it"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (OSError, ValueError):
        return "names a file that holds no certificate, or cannot be read. It must be PEM text"
    return None


def _folders_problem(paths: str) -> str | None:
    if all(Path(path).is_dir() for path in paths.split(os.pathsep)):
        return None
    return "names no folder. Mount the certificates there, or unset it"


def _seconds_problem(value: str) -> str | None:
    try:
        int(value)
    except ValueError:
        return "is not a whole number of seconds. Correct or unset it"
    return None


CHECKS: Mapping[str, Callable[[str], str | None]] = {
    "HF_ENDPOINT": endpoint_problem,
    **{each: _proxy_problem for name in PROXIES for each in (name, name.lower())},
    "HF_TOKEN": _token_problem,
    "HUGGING_FACE_HUB_TOKEN": _token_problem,
    "SSL_CERT_FILE": _certificates_problem,
    "SSL_CERT_DIR": _folders_problem,
    # huggingface_hub reads these two when it is imported, though they concern none of our requests.
    "HF_HUB_ETAG_TIMEOUT": _seconds_problem,
    "HF_HUB_DOWNLOAD_TIMEOUT": _seconds_problem,
}
