"""What the hub refuses or does not have: the reason for each model, what to do about it, and no bytes spent before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.hub import LocalHub, RepoBuilder
from support.outages import HURRY, IN_TIME_S, MIB, at_most, content
from support.sync import Result, manifest, model, run_sync, tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.fixture
def gated(hub: LocalHub, root: Path) -> RepoBuilder:
    """Everybody may list it; the token ``hf_right`` may read it."""
    builder = RepoBuilder(root, "owner/gated")
    builder.commit({"config.json": b"{}", "weights.safetensors": content(MIB, 3)})
    return builder.gate("hf_right")


def refused(result: Result, reason: str, *words: str) -> None:
    """Exit code 2, the reason in the report, and a line on stderr that says all of ``words``."""
    assert result.returncode == 2
    assert reason in result.reasons().values()
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    for word in (reason, *words):
        assert word in lines[0]


@pytest.mark.parametrize("token", [None, "hf_other"])
def test_a_gated_repository_asks_for_access_and_a_token(
    token: str | None, gated: RepoBuilder, hub: LocalHub, volume: Path, root: Path
) -> None:
    RepoBuilder(root, "owner/else").gate("hf_other")  # the hub knows this token, but not for the one that is asked for
    env = {"HF_TOKEN": token} if token else {}

    with at_most(IN_TIME_S, "a refusal"):
        result = run_sync(manifest(model("it", gated.name)), volume, hub, env=env)

    refused(result, "GatedRepo", "owner/gated", "Request access", "HF_TOKEN")
    assert result.reasons() == {"it": "GatedRepo"}
    assert tree(volume) == {}


def test_a_gated_repository_is_synced_with_its_token(gated: RepoBuilder, hub: LocalHub, volume: Path) -> None:
    result = run_sync(manifest(model("it", gated.name)), volume, hub, env={"HF_TOKEN": "hf_right"})

    assert result.returncode == 0, result.stderr
    assert tree(volume) == {"it/config.json": b"{}", "it/weights.safetensors": content(MIB, 3)}


def test_a_token_that_nobody_knows_is_refused_without_a_retry(gated: RepoBuilder, hub: LocalHub, volume: Path) -> None:
    result = run_sync(manifest(model("it", gated.name)), volume, hub, env={"HF_TOKEN": "hf_unknown"})

    refused(result, "TokenInvalid", "HF_TOKEN", "Invalid credentials in Authorization header", "expired")
    assert len(hub.requests) == 1


@pytest.mark.parametrize("paths", [("open", "gated"), ("models/open", "models/gated")], ids=["apart", "in one folder"])
def test_a_refusal_shows_before_the_large_files_of_other_models_are_fetched(
    paths: tuple[str, str], gated: RepoBuilder, hub: LocalHub, volume: Path, root: Path
) -> None:
    files: dict[str, bytes] = {f"{number}.safetensors": content(4 * MIB, number) for number in range(4)}
    RepoBuilder(root, "owner/open").commit({"tiny.json": b"{}", **files})
    spec = manifest({**model("open", "owner/open"), "path": paths[0]}, {**model("gated", gated.name), "path": paths[1]})

    result = run_sync(spec, volume, hub, "--connections", "1")

    refused(result, "GatedRepo", "owner/gated")
    assert hub.bytes_sent < 4 * MIB


def test_a_gated_model_is_named_and_the_others_are_not_called_gated(
    gated: RepoBuilder, hub: LocalHub, volume: Path, root: Path
) -> None:
    RepoBuilder(root, "owner/open").commit({"a.safetensors": content(4 * MIB, 1)})

    result = run_sync(manifest(model("open", "owner/open"), model("gated", gated.name)), volume, hub)

    assert result.returncode == 2
    assert result.reasons()["gated"] == "GatedRepo"
    assert result.reasons()["open"] != "GatedRepo"


def test_a_private_repository_is_not_found_without_its_token(hub: LocalHub, volume: Path, root: Path) -> None:
    RepoBuilder(root, "owner/private").commit({"a.json": b"{}"})
    RepoBuilder(root, "owner/private").hide("hf_right")
    spec = manifest(model("it", "owner/private"))

    refused(run_sync(spec, volume, hub), "RepoNotFound", "owner/private", "Correct the name", "HF_TOKEN")
    assert run_sync(spec, volume, hub, env={"HF_TOKEN": "hf_right"}).returncode == 0


def test_a_repository_that_is_not_there_is_named(hub: LocalHub, volume: Path) -> None:
    result = run_sync(manifest(model("it", "owner/nowhere")), volume, hub)

    refused(result, "RepoNotFound", "owner/nowhere", "Correct the name")
    assert len(hub.requests) == 1


def test_a_revision_that_is_not_there_is_named(repo: RepoBuilder, hub: LocalHub, volume: Path) -> None:
    result = run_sync(manifest(model("it", repo.name, revision="refs/pr/7")), volume, hub)

    refused(result, "RevisionNotFound", "owner/small", "refs/pr/7", "Correct the revision")
    assert hub.bytes_sent == 0


def test_a_file_that_is_not_there_is_named(repo: RepoBuilder, hub: LocalHub, volume: Path) -> None:
    result = run_sync(manifest(model("it", repo.name, include=["config.json", "absent.bin"])), volume, hub)

    refused(result, "FileNotFound", "owner/small", "absent.bin", "Correct include")
    assert hub.bytes_sent == 0
    assert tree(volume) == {}


def test_patterns_that_leave_nothing_are_refused(repo: RepoBuilder, hub: LocalHub, volume: Path) -> None:
    result = run_sync(manifest(model("it", repo.name, include=["*.onnx"])), volume, hub)

    refused(result, "FileNotFound", "owner/small", "*.onnx matches no file", "Correct include")


def test_alternatives_of_which_none_is_there_are_all_named(repo: RepoBuilder, hub: LocalHub, volume: Path) -> None:
    alternatives = [{"file": "a.safetensors"}, {"file": "b.bin"}, {"file": "c.bin", "revision": "refs/pr/9"}]
    spec = manifest(model("it", repo.name, include=["config.json"], oneOf=alternatives))

    result = run_sync(spec, volume, hub)

    refused(result, "FileNotFound", "a.safetensors", "b.bin", "refs/pr/9", "Correct oneOf")


def test_every_model_that_cannot_be_planned_is_reported_with_its_own_reason(
    repo: RepoBuilder, hub: LocalHub, volume: Path
) -> None:
    spec = manifest(
        model("fine", repo.name),
        model("nowhere", "owner/nowhere"),
        model("unborn", repo.name, revision="v9"),
        model("lacking", repo.name, include=["absent.bin"]),
    )

    result = run_sync(spec, volume, hub)

    assert result.returncode == 2
    reasons = result.reasons()
    assert reasons.pop("fine") == "FileMissing"
    assert reasons == {"nowhere": "RepoNotFound", "unborn": "RevisionNotFound", "lacking": "FileNotFound"}
    messages = {each["name"]: each["message"] for each in result.report["models"]}
    assert "owner/nowhere" in messages["nowhere"]
    assert "owner/nowhere" not in messages["lacking"]
    assert hub.bytes_sent == 0


def test_a_pinned_commit_that_is_gone_asks_for_refresh_and_refresh_cures_it(
    repo: RepoBuilder, spec: dict[str, Any], hub: LocalHub, volume: Path
) -> None:
    assert run_sync(spec, volume, hub).returncode == 0
    (volume / "small" / "model.safetensors").unlink()
    gone = next(request.revision for request in hub.requests if request.kind == "resolve")
    repo.commit({"config.json": b"{}", "model.safetensors": content(MIB, 5)})
    assert gone
    repo.delete_commit(gone)

    stuck = run_sync(spec, volume, hub, *HURRY)
    cured = run_sync(spec, volume, hub, "--refresh", *HURRY)

    refused(stuck, "RevisionNotFound", "--refresh")
    assert cured.returncode == 0, cured.stderr
    assert (volume / "small" / "model.safetensors").read_bytes() == content(MIB, 5)
    assert (volume / "small" / "config.json").read_bytes() == b"{}"


def test_what_is_refused_stays_as_it_was_when_the_volume_was_complete_before(
    repo: RepoBuilder, spec: dict[str, Any], hub: LocalHub, volume: Path
) -> None:
    assert run_sync(spec, volume, hub).returncode == 0
    before = tree(volume)
    repo.hide("hf_secret")

    result = run_sync(spec, volume, hub, "--refresh")

    assert result.returncode == 2
    assert tree(volume) == before
    assert run_sync(spec, volume, hub).returncode == 0, "without --refresh it is still complete"
