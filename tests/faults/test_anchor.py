"""An anchor: a model of another digest is never complete, and nothing large is fetched to find that out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from init_sync.core.manifest import parse_manifest
from init_sync.volume.check import looks_complete
from init_sync.volume.volume import Volume
from support.hub import Fault, LocalHub, RepoBuilder
from support.lying_hub import LyingHub, Said
from support.outages import HURRY, MIB, content, receipts
from support.sync import Result, manifest, model, run_command, run_sync, tree
from support.three_models import footprint

LARGE = {"a.safetensors": content(6 * MIB, 1), "b.safetensors": content(3 * MIB, 2)}
SMALL = {"config.json": b'{"dim": 64}\n', "vocab/größe.txt": b"one\ntwo\n"}
WRONG = f"sha256:{'0' * 64}"


def digest(files: dict[str, bytes]) -> str:
    lines = [f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n" for path in sorted(files)]
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


RIGHT = digest({**LARGE, **SMALL})
SMALL_BYTES = sum(map(len, SMALL.values()))


@pytest.fixture
def mixed(hub: LocalHub, tmp_path: Path) -> RepoBuilder:
    """``owner/mixed``: two files in large-file storage, two whose SHA-256 the hub does not list."""
    builder = RepoBuilder(tmp_path / "hub", "owner/mixed")
    builder.commit({**LARGE, **SMALL})
    return builder


def anchored(anchor: str, **fields: Any) -> dict[str, Any]:
    return manifest(model("it", "owner/mixed", digest=anchor, **fields))


def refused(result: Result, anchor: str, found: str = RIGHT) -> None:
    """Exit code 2; one line and the report name both digests and the cure."""
    assert result.returncode == 2, result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("init-sync: error: DigestMismatch: checking it: ")
    for words in (found, anchor, "Correct digest or revision in the manifest", "--refresh", "modelcache.dev/resync"):
        assert words in line
    assert result.reasons() == {"it": "DigestMismatch"}
    assert result.report["complete"] is False
    assert result.report["models"][0]["digest"] is None
    assert result.report["models"][0]["message"] in line


def large_bytes(hub: LocalHub) -> int:
    return hub.bytes_sent - SMALL_BYTES


class TestOfAnEmptyVolume:
    def test_a_right_anchor_changes_nothing(self, mixed: RepoBuilder, volume: Path, hub: LocalHub) -> None:
        result = run_sync(anchored(RIGHT), volume, hub)
        assert result.returncode == 0, result.stderr
        assert result.report["models"][0]["digest"] == RIGHT
        assert hub.bytes_sent == sum(map(len, LARGE.values())) + SMALL_BYTES, "each byte once"
        assert result.report["bytesFetched"] == hub.bytes_sent
        assert tree(volume) == {f"it/{path}": each for path, each in {**LARGE, **SMALL}.items()}

    def test_a_wrong_one_is_known_before_the_first_large_byte(
        self, mixed: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        refused(run_sync(anchored(WRONG), volume, hub), WRONG)
        assert hub.bytes_sent == SMALL_BYTES
        assert tree(volume) == {}
        assert receipts(volume) == []

    def test_what_is_fetched_to_find_that_out_is_fetched_once(
        self, mixed: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        for _ in range(2):
            refused(run_sync(anchored(WRONG), volume, hub), WRONG)
        assert run_sync(anchored(RIGHT), volume, hub).returncode == 0
        assert large_bytes(hub) == sum(map(len, LARGE.values()))

    def test_a_wrong_one_of_large_files_alone_costs_no_byte(
        self, mixed: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        fields = {"include": ["*.safetensors"]}
        refused(run_sync(anchored(WRONG, **fields), volume, hub), WRONG, digest(LARGE))
        assert hub.bytes_sent == 0
        assert run_sync(anchored(digest(LARGE), **fields), volume, hub).returncode == 0

    def test_every_model_that_differs_is_named_and_none_is_fetched(
        self, mixed: RepoBuilder, repo: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        spec = manifest(
            model("plain", repo.name),
            model("it", mixed.name, digest=WRONG),
            model("other", mixed.name, digest=RIGHT, include=["*.json"]),
        )
        result = run_sync(spec, volume, hub)
        assert result.returncode == 2
        assert result.reasons()["it"] == result.reasons()["other"] == "DigestMismatch"
        assert hub.bytes_sent <= SMALL_BYTES
        assert tree(volume) == {}

    def test_a_hub_that_lists_and_serves_another_content_is_found_out(
        self, mixed: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        """It lies with itself in one piece: every hash fits, and only the anchor tells."""
        mixed.commit({**LARGE, **SMALL, "config.json": b'{"dim": 65}\n'})
        changed = digest({**LARGE, **SMALL, "config.json": b'{"dim": 65}\n'})
        refused(run_sync(anchored(RIGHT), volume, hub), RIGHT, changed)
        assert large_bytes(hub) == 0

    def test_a_listing_that_leaves_a_file_out_is_found_out(
        self, mixed: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        mixed.commit({**LARGE, "config.json": SMALL["config.json"]})
        fewer = digest({**LARGE, "config.json": SMALL["config.json"]})
        refused(run_sync(anchored(RIGHT), volume, hub), RIGHT, fewer)

    def test_small_files_that_cannot_be_fetched_are_what_is_said_then(
        self, mixed: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        hub.add_fault(Fault("status", status=500, match=("resolve", "blob")))
        result = run_sync(anchored(RIGHT), volume, hub, *HURRY)
        assert result.returncode == 1
        assert result.reasons() == {"it": "HubUnreachable"}
        hub.clear_faults()
        assert run_sync(anchored(RIGHT), volume, hub).returncode == 0

    def test_wrong_bytes_of_a_small_file_are_no_other_digest(
        self, mixed: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        with LyingHub(hub) as liar:
            liar.lie = _spoil_config
            env = {"HF_ENDPOINT": liar.endpoint}
            result = run_sync(anchored(RIGHT), volume, None, *HURRY, env=env)
        assert result.returncode == 1
        assert result.reasons() == {"it": "ChecksumMismatch"}


def _spoil_config(kind: str, said: Said) -> Said:
    return replace(said, body=said.body.replace(b'{"dim": 64}\n', b'{"dim": 46}\n'))


class TestOfACompleteVolume:
    @pytest.fixture
    def complete(self, mixed: RepoBuilder, volume: Path, hub: LocalHub) -> Path:
        assert run_sync(manifest(model("it", mixed.name)), volume, hub).returncode == 0
        hub.reset_log()
        return volume

    def test_adding_changing_and_removing_it_fetches_and_hashes_nothing(self, complete: Path, hub: LocalHub) -> None:
        before = footprint(complete)
        for anchor, code in ((RIGHT, 0), (WRONG, 2), (RIGHT, 0)):
            result = run_sync(anchored(anchor), complete, hub)
            assert result.returncode == code
            assert result.report["bytesVerified"] == 0
            assert result.report["models"][0]["digest"] == (RIGHT if code == 0 else None)
        assert run_sync(manifest(model("it", "owner/mixed")), complete, hub).returncode == 0
        assert hub.requests == []
        assert footprint(complete) == before

    def test_a_wrong_one_is_refused_without_the_hub(self, complete: Path, hub: LocalHub) -> None:
        hub.stop()
        refused(run_sync(anchored(WRONG), complete, hub), WRONG)

    @pytest.mark.parametrize("arguments", [("status", "--json"), ("verify",), ("verify", "--deep")], ids=" ".join)
    def test_looking_holds_it_too(self, arguments: tuple[str, ...], complete: Path) -> None:
        verb, *options = arguments
        assert run_command(verb, anchored(RIGHT), complete, *options).returncode == 0
        done = run_command(verb, anchored(WRONG), complete, *options)
        assert done.returncode == 1
        for words in ("DigestMismatch", RIGHT, WRONG):
            assert words in done.stdout

    def test_who_waits_for_the_lock_does_not_take_another_content_for_complete(self, complete: Path) -> None:
        for anchor, looks in ((RIGHT, True), (WRONG, False)):
            assert looks_complete(Volume(str(complete)), parse_manifest(json.dumps(anchored(anchor)), "m")) is looks

    def test_a_plan_is_refused_without_the_hub(self, complete: Path, hub: LocalHub) -> None:
        hub.stop()
        done = run_command("plan", anchored(WRONG), complete)
        assert done.returncode == 2
        assert "DigestMismatch" in done.stderr
        assert run_command("plan", anchored(RIGHT), complete).returncode == 0

    def test_a_plan_of_an_empty_volume_is_refused_when_the_listing_tells(
        self, mixed: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        spec = anchored(WRONG, include=["*.safetensors"])
        done = run_command("plan", spec, volume, env={"HF_ENDPOINT": hub.endpoint})
        assert done.returncode == 2
        assert digest(LARGE) in done.stderr

    def test_damage_is_repaired_under_a_right_one_and_not_under_a_wrong_one(
        self, complete: Path, hub: LocalHub
    ) -> None:
        (complete / "it/a.safetensors").unlink()
        refused(run_sync(anchored(WRONG), complete, hub), WRONG)
        assert hub.bytes_sent == 0
        assert run_sync(anchored(RIGHT), complete, hub).returncode == 0
        assert hub.bytes_sent == len(LARGE["a.safetensors"])

    def test_files_without_a_receipt_are_adopted_under_a_right_one(self, complete: Path, hub: LocalHub) -> None:
        for path in receipts(complete):
            path.unlink()
        assert run_sync(anchored(RIGHT), complete, hub).returncode == 0
        assert hub.bytes_sent == 0

    def test_under_a_wrong_one_only_their_small_files_are_hashed(self, complete: Path, hub: LocalHub) -> None:
        for path in receipts(complete):
            path.unlink()
        result = run_sync(anchored(WRONG), complete, hub)
        refused(result, WRONG)
        assert result.report["bytesVerified"] == SMALL_BYTES
        assert hub.bytes_sent == 0
        assert receipts(complete) == []


NEW = {**LARGE, **SMALL, "config.json": b'{"dim": 65}\n', "b.safetensors": content(3 * MIB, 3)}


class TestOfABranchThatMoved:
    @pytest.fixture
    def moved(self, mixed: RepoBuilder, volume: Path, hub: LocalHub) -> Path:
        """What is on the volume is what the anchor demands; on the hub, ``main`` has another content now."""
        assert run_sync(anchored(RIGHT), volume, hub).returncode == 0
        mixed.commit(NEW)
        hub.reset_log()
        return volume

    def test_a_refresh_is_refused_and_what_was_complete_stays_so(self, moved: Path, hub: LocalHub) -> None:
        before = tree(moved)
        result = run_sync(anchored(RIGHT), moved, hub, "--refresh")
        assert result.returncode == 2
        assert digest(NEW) in result.stderr
        assert hub.bytes_sent == len(NEW["config.json"]), "small files that nobody knows, and nothing else"
        assert tree(moved) == before
        hub.stop()
        assert run_sync(anchored(RIGHT), moved, hub).returncode == 0

    def test_nor_does_it_move_the_pin_so_damage_is_still_repaired(self, moved: Path, hub: LocalHub) -> None:
        before = tree(moved)
        assert run_sync(anchored(RIGHT), moved, hub, "--refresh").returncode == 2
        (moved / "it/b.safetensors").unlink()
        assert run_sync(anchored(RIGHT), moved, hub).returncode == 0
        assert tree(moved) == before

    def test_the_new_digest_and_a_refresh_bring_the_new_content(self, moved: Path, hub: LocalHub) -> None:
        anchor = digest(NEW)
        refused(run_sync(anchored(anchor), moved, hub), anchor)
        assert hub.requests == []
        result = run_sync(anchored(anchor), moved, hub, "--refresh")
        assert result.returncode == 0, result.stderr
        assert result.report["models"][0]["digest"] == anchor
        assert hub.bytes_sent == len(NEW["config.json"]) + len(NEW["b.safetensors"])
