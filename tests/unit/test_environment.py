"""Variables that say where the hub is: wrong ones are refused by name before the hub is asked."""

from __future__ import annotations

import os
from pathlib import Path

import certifi
import pytest

from init_sync.core.errors import NeedsChange
from init_sync.hub.environment import refuse_wrong_environment

PROXY = "{name} is no address of a proxy; give one such as http://HOST:PORT"
OTHER_PROXY = "{name} names something else than an http:// proxy; give one such as http://HOST:PORT"
WRONG = {
    "HF_ENDPOINT": {
        "secr3t": "HF_ENDPOINT is no URL of a hub; give a URL such as https://huggingface.co",
        "ftp://secr3t": "HF_ENDPOINT is no URL of a hub",
        " http://secr3t": "HF_ENDPOINT is no URL of a hub",
        '"http://secr3t"': "HF_ENDPOINT is no URL of a hub",
        "http://": "HF_ENDPOINT is no URL of a hub",
        "http://hub?secr3t": "HF_ENDPOINT is no URL of a hub",
        "http://secr3t:99999": "HF_ENDPOINT is no URL",
        "http://[::1": "HF_ENDPOINT is no URL",
        "http://user:secr3t@hub": "HF_ENDPOINT holds a user or password",
    },
    "ALL_PROXY": {"socks5://secr3t:1": OTHER_PROXY},
    "https_proxy": {"SOCKS5h://proxy:1": OTHER_PROXY, "https://proxy:1": OTHER_PROXY},
    "HTTPS_PROXY": {"ftp://proxy:1": OTHER_PROXY, "'http://secr3t:3128'": OTHER_PROXY},
    "HTTP_PROXY": {
        "http://user:secr3t#x@proxy:3128": PROXY,
        "http://user:secr3t/x@proxy:3128": PROXY,
        "http://user:123/x@proxy:3128": PROXY,
        "http://user:123?secr3t@proxy:3128": PROXY,
        "http://proxy:port": PROXY,
        "http://proxy:99999": PROXY,
        "http://[::1": PROXY,
        "http://": PROXY,
        "two secr3t words": PROXY,
        '"proxy:3128"': PROXY,
    },
    "HF_TOKEN": {
        "hf_secr3t\u00e8": "HF_TOKEN holds a character",
        "hf_secr3t\nhf_b": "HF_TOKEN holds a character",
        "Bearer hf_secr3t": "HF_TOKEN holds a character",
        '"hf_secr3t"\n': "HF_TOKEN is in quotes",
    },
    "HUGGING_FACE_HUB_TOKEN": {"'hf_secr3t'": "HUGGING_FACE_HUB_TOKEN is in quotes"},
    "HF_TOKEN_PATH": {
        "/secr3t/token": "HF_TOKEN_PATH names no file",
        "/": "HF_TOKEN_PATH names a folder",
        "": "HF_TOKEN_PATH is empty",
        "secr3t\0": "HF_TOKEN_PATH names a file that cannot be read",
        "/dev/null": "HF_TOKEN_PATH names an empty file",
        "/dev/urandom": "HF_TOKEN_PATH names a file that cannot be read (not text)",
    },
    "SSL_CERT_FILE": {
        "/secr3t/ca.pem": "SSL_CERT_FILE names no file",
        __file__: "SSL_CERT_FILE names a file that holds no certificate",
    },
    "SSL_CERT_DIR": {"/secr3t": "SSL_CERT_DIR names no folder", __file__: "SSL_CERT_DIR names no folder"},
    "HF_HUB_DOWNLOAD_TIMEOUT": {"secr3t": "HF_HUB_DOWNLOAD_TIMEOUT is not a whole number of seconds"},
    "HF_HUB_ETAG_TIMEOUT": {"1.5": "HF_HUB_ETAG_TIMEOUT is not a whole number of seconds"},
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_by_its_name_and_never_repeated(name: str, value: str) -> None:
    with pytest.raises(NeedsChange) as refused:
        refuse_wrong_environment({name: value})
    assert WRONG[name][value].format(name=name) in refused.value.message
    assert "secr3t" not in refused.value.message
    assert refused.value.message.isprintable()


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(NeedsChange, match=r"HF_ENDPOINT is no URL.*; SSL_CERT_FILE names no file"):
        refuse_wrong_environment({"HF_ENDPOINT": "foo", "SSL_CERT_FILE": "/nowhere"})


def test_a_token_file_does_not_matter_beside_a_token() -> None:
    refuse_wrong_environment({"HF_TOKEN": "hf_abc", "HF_TOKEN_PATH": "/nowhere"})


def test_a_text_in_the_token_file_that_is_no_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text('"hf_secr3t"')
    with pytest.raises(NeedsChange, match="HF_TOKEN_PATH names a file whose text is in quotes") as refused:
        refuse_wrong_environment({"HF_TOKEN_PATH": str(tmp_path / "token")})
    assert "secr3t" not in refused.value.message


def test_what_can_work_is_let_through(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("hf_abc\n")
    refuse_wrong_environment({})
    refuse_wrong_environment(
        {
            "HF_ENDPOINT": "https://mirror.example:8443/hub/",
            "HTTPS_PROXY": "http://user:password@proxy:3128",
            "http_proxy": "proxy:3128",
            "ALL_PROXY": "http://[fd00::1]:3128/",
            "NO_PROXY": "[, 10.0.0.0/99",
            "HF_TOKEN_PATH": str(token),
            "SSL_CERT_FILE": certifi.where(),
            "SSL_CERT_DIR": f"{tmp_path}{os.pathsep}{tmp_path}",
            "HF_HUB_DOWNLOAD_TIMEOUT": "10",
        }
    )
    refuse_wrong_environment({"HF_TOKEN": "hf_abc\n"})
    empty = ("HF_ENDPOINT", "HF_TOKEN", "SSL_CERT_FILE", "SSL_CERT_DIR", "ALL_PROXY", "HF_HUB_ETAG_TIMEOUT")
    refuse_wrong_environment(dict.fromkeys(empty, ""))
