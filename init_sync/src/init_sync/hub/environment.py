"""What the environment says about the way to the hub, looked at before it is first used.

A library stumbles over a wrong value in words that name neither variable nor cure, or tries it again and again. A warm
start needs no hub and does not look.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
TOKEN = re.compile(r"[\x21-\x7e]*")


def refuse_wrong_environment(environment: Mapping[str, str]) -> None:
    """Raises NeedsChange with all that is wrong; secrets are not repeated."""
    if problems := list(_problems(environment)):
        raise NeedsChange(Reason.HUB_UNREACHABLE, f"asking the hub: {'; '.join(problems)}")


def _problems(environment: Mapping[str, str]) -> Iterator[str]:
    if problem := endpoint_problem(environment.get("HF_ENDPOINT", "")):
        yield f"HF_ENDPOINT {problem}"
    for name in (each for upper in PROXIES for each in (upper, upper.lower())):
        scheme, separator, _ = environment.get(name, "").partition("://")
        if separator and scheme.lower().startswith("socks"):  # the library gives up, though NO_PROXY may match
            yield f"{name} names a {scheme}:// proxy, and only http:// ones are known. Change or unset it"
    if not TOKEN.fullmatch(environment.get("HF_TOKEN", "").strip()):
        yield "HF_TOKEN holds a character that no token has. Copy it anew"
    file = environment.get("SSL_CERT_FILE", "")
    if file and not Path(file).is_file():
        yield f"SSL_CERT_FILE names {file}, which is no file. Mount it there, or unset it"


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
    if (
        parts.scheme not in ("http", "https")
        or not host
        or parts.query
        or parts.fragment
        or url != "".join(url.split())
    ):
        return f"is {url!r}; {example}"
    return None
