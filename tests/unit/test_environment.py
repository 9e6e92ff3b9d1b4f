"""Variables that say where the hub is: wrong ones are refused by name before the hub is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from init_sync.core.errors import NeedsChange
from init_sync.hub.environment import refuse_wrong_environment

WRONG = {
    "HF_ENDPOINT": {
        "foo": "HF_ENDPOINT is 'foo'; give a URL such as",
        "ftp://hub": "HF_ENDPOINT is 'ftp://hub'",
        " http://hub": "HF_ENDPOINT is ' http://hub'",
        "http://": "HF_ENDPOINT is 'http://'",
        "http://hub?a=b": "HF_ENDPOINT is",
        "http://hub:99999": "HF_ENDPOINT is no URL",
        "http://[::1": "HF_ENDPOINT is no URL",
        "http://user:secret@hub": "HF_ENDPOINT holds a user or password",
    },
    "ALL_PROXY": {"socks5://proxy:1": "ALL_PROXY names a socks5:// proxy, and only http:// ones are known"},
    "https_proxy": {"SOCKS5h://proxy:1": "https_proxy names a SOCKS5h:// proxy"},
    "HF_TOKEN": {"hf_secr\u00e8t": "HF_TOKEN holds a character", "hf_secret\nhf_b": "HF_TOKEN holds a character"},
    "SSL_CERT_FILE": {"/nowhere/ca.pem": "SSL_CERT_FILE names /nowhere/ca.pem, which is no file"},
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_by_its_name_and_secrets_are_not_repeated(name: str, value: str) -> None:
    with pytest.raises(NeedsChange) as refused:
        refuse_wrong_environment({name: value})
    assert WRONG[name][value] in refused.value.message
    assert "secr" not in refused.value.message


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(NeedsChange, match=r"HF_ENDPOINT is 'foo'.*; SSL_CERT_FILE names /nowhere"):
        refuse_wrong_environment({"HF_ENDPOINT": "foo", "SSL_CERT_FILE": "/nowhere"})


def test_what_can_work_is_let_through(tmp_path: Path) -> None:
    certificates = tmp_path / "ca.pem"
    certificates.touch()
    refuse_wrong_environment({})
    refuse_wrong_environment(
        {
            "HF_ENDPOINT": "https://mirror.example:8443/hub/",
            "HTTPS_PROXY": "http://user:password@proxy:3128",
            "http_proxy": "proxy:3128",
            "HF_TOKEN": "hf_abc\n",
            "SSL_CERT_FILE": str(certificates),
        }
    )
    refuse_wrong_environment({"HF_ENDPOINT": "", "HF_TOKEN": "", "SSL_CERT_FILE": "", "ALL_PROXY": ""})
