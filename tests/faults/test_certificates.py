"""TLS: a certificate that cannot be verified, a private authority, and the way from http to https."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hub import LocalHub, RepoBuilder
from support.outages import HURRY
from support.sync import manifest, model, run_sync
from support.tls import Authority, Redirecting, TlsFront

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
SPEC = manifest(model("it", "owner/gated"))
TOKEN = {"HF_TOKEN": "hf_right"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority")).make()


@pytest.fixture
def front(authority: Authority, hub: LocalHub, tmp_path: Path) -> Iterator[TlsFront]:
    """The hub by TLS, with a gated repository of one small file."""
    builder = RepoBuilder(tmp_path / "hub", "owner/gated")
    builder.commit({"config.json": b"{}"})
    builder.gate("hf_right")
    with TlsFront(authority, hub.endpoint.removeprefix("http://")) as running:
        yield running


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_certificate_that_cannot_be_verified_ends_the_run_at_once_and_names_the_variable(
    variable: str, front: TlsFront, authority: Authority, volume: Path
) -> None:
    others = {"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "", variable: str(authority.certificate)}
    env = {"HF_ENDPOINT": f"https://{front.address}", **others}
    result = run_sync(SPEC, volume, None, env=env)

    assert result.returncode == 2
    assert f"connecting to {front.address}: its certificate cannot be verified" in result.stderr
    assert f"in SSL_CERT_FILE (not read: {variable})" in result.stderr
    assert "trying again" not in result.stdout
    assert front.heads == []


def test_listing_and_files_trust_the_authority_that_is_named(
    front: TlsFront, authority: Authority, volume: Path
) -> None:
    env = {"HF_ENDPOINT": f"https://{front.address}", "SSL_CERT_FILE": str(authority.certificate), **TOKEN}
    result = run_sync(SPEC, volume, None, *HURRY, env=env)

    assert result.returncode == 0, result.stderr
    assert (volume / "it" / "config.json").read_bytes() == b"{}"


def test_an_endpoint_that_leads_from_http_to_https_on_its_host_gets_the_token_there(
    front: TlsFront, authority: Authority, volume: Path
) -> None:
    with Redirecting(f"https://{front.address}") as plain:
        env = {"HF_ENDPOINT": f"http://{plain.address}", "SSL_CERT_FILE": str(authority.certificate), **TOKEN}
        result = run_sync(SPEC, volume, None, *HURRY, env=env)

    assert result.returncode == 0, result.stderr
    assert all("authorization: bearer hf_right" in head.lower() for head in front.heads)


def test_a_redirect_from_https_to_http_is_refused_with_words(
    authority: Authority, hub: LocalHub, repo: RepoBuilder, volume: Path
) -> None:
    with TlsFront(authority, hub.endpoint.removeprefix("http://")) as front:
        env = {"HF_ENDPOINT": f"https://{front.address}", "SSL_CERT_FILE": str(authority.certificate)}
        result = run_sync(manifest(model("it", repo.name)), volume, None, *HURRY, env=env)

    assert result.returncode == 2
    assert "leads from https to http" in result.stderr
    assert hub.count("blob") == 0
