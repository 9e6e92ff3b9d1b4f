"""Bad input: one clear line on stderr that names file and field, exit code 2, and a volume that nobody touched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.schemas import check_report
from support.sync import manifest, model, run_command, run_sync
from support.three_models import footprint
from unit.manifests import document, one
from unit.manifests import model as entry

SPECS = {
    "a field that leaves the volume": (one(path="../x").encode(), "spec.models[0].path"),
    "a field that does not exist": (document(spec="bogus: 1").encode(), "spec.bogus"),
    "two fields": (document(entry(name="A"), spec="x: 1").encode(), "spec.models[0].name"),
    "text that is not YAML": (b"spec: [1, 2\n", "line 2"),
    "bytes that are not text": (b"\x7fELF\x02\x01\x00\xff\xfe", "UTF-8"),
    "nothing": (b"", "ModelCache"),
    "a key with a line end": (document(spec='"a\\nb": 1').encode(), "spec."),
}
COMMANDS = ("sync", "verify", "status")


@pytest.fixture
def used(volume: Path) -> Path:
    """A volume that somebody uses already."""
    (volume / "base").mkdir()
    (volume / "base" / "theirs.txt").write_text("keep me")
    return volume


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("content", "named"), SPECS.values(), ids=SPECS.keys())
def test_a_bad_manifest_costs_one_line_and_nothing_else(
    command: str, content: bytes, named: str, used: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "cache.yaml"
    spec.write_bytes(content)
    before = footprint(used)
    done = run_command(command, spec, used)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"init-sync: error: InvalidSpec: {spec}: ")
    assert named in line
    assert footprint(used) == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["missing", "directory"])
def test_a_manifest_that_cannot_be_read_costs_one_line(command: str, kind: str, used: Path, tmp_path: Path) -> None:
    spec = tmp_path / "cache.yaml"
    if kind == "directory":
        spec.mkdir()
    before = footprint(used)
    done = run_command(command, spec, used)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert f"{spec}: cannot be read" in line
    assert footprint(used) == before


@pytest.mark.parametrize("content", [None, *(content for content, _ in SPECS.values())], ids=["missing", *SPECS.keys()])
def test_status_as_json_prints_its_object_for_a_bad_manifest_too(
    content: bytes | None, used: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "cache.yaml"
    if content is not None:
        spec.write_bytes(content)
    done = run_command("status", spec, used, "--json")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    check_report(done.report)
    assert not done.report["complete"]
    assert [each["reason"] for each in done.report["models"]] == ["InvalidSpec"]
    assert str(spec) in done.report["models"][0]["message"]


def test_the_report_of_a_sync_names_the_field_too(used: Path, tmp_path: Path) -> None:
    spec = tmp_path / "cache.yaml"
    spec.write_text(one(path="../x"))
    done = run_sync(spec, used)
    assert done.returncode == 2
    check_report(done.report)
    assert "spec.models[0].path" in done.report["models"][0]["message"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_manifest_whose_name_is_not_text_is_still_named_in_one_line(command: str, used: Path, tmp_path: Path) -> None:
    spec = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.yaml"))
    done = run_command(command, spec, used)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "cannot be read" in line


def test_status_as_json_prints_its_object_even_when_the_manifests_name_is_not_text(used: Path, tmp_path: Path) -> None:
    done = run_command("status", Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml")), used, "--json")
    assert done.returncode == 2
    check_report(done.report)


class TestAVolumeThatIsNoDirectory:
    spec = manifest(model("base", "owner/small"), model("other", "owner/small"))

    @pytest.fixture(params=["missing", "file"])
    def nowhere(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        path = tmp_path / "elsewhere"
        if request.param == "file":
            path.write_text("a file")
        return path

    @pytest.mark.parametrize("command", COMMANDS)
    def test_costs_one_line_that_names_it_and_is_not_created(self, command: str, nowhere: Path) -> None:
        existed = nowhere.exists()
        done = run_command(command, self.spec, nowhere)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert str(nowhere) in line
        assert nowhere.exists() == existed

    def test_is_in_the_report_of_every_model(self, nowhere: Path) -> None:
        for report in (run_sync(self.spec, nowhere).report, run_command("status", self.spec, nowhere, "--json").report):
            check_report(report)
            assert report["cache"] == "cache"
            assert [each["name"] for each in report["models"]] == ["base", "other"]
            assert all(str(nowhere) in each["message"] for each in report["models"])


BAD_OPTIONS = {
    "an option that does not exist": ("--bogus", "--bogus", ""),
    "an argument too many": ("more", "more", ""),
    "a port that is a word": ("--metrics-port=http", "--metrics-port", "0 to 65535"),
    "a port beyond all ports": ("--metrics-port=65536", "--metrics-port", "0 to 65535"),
    "no connection at all": ("--connections=0", "--connections", "1 to 64"),
    "too many connections": ("--connections=1000", "--connections", "1 to 64"),
    "half a connection": ("--connections=1.5", "--connections", "whole number"),
    "a negative time": ("--stall-timeout=-1", "--stall-timeout", "from 0.1"),
    "a time that is no number": ("--give-up-after=nan", "--give-up-after", "seconds"),
    "a time with a unit": ("--lock-expiry=5m", "--lock-expiry", "seconds"),
    "a time without end": ("--stall-timeout=inf", "--stall-timeout", "86400"),
    "another log format": ("--log-format=xml", "--log-format", "json"),
    "another way to verify": ("--verify=sometimes", "--verify", "deep"),
}


@pytest.mark.parametrize(("option", "named", "allowed"), BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
def test_a_bad_option_stops_everything_and_the_last_line_says_which_and_what_is_allowed(
    option: str, named: str, allowed: str, used: Path
) -> None:
    before = footprint(used)
    done = run_sync(manifest(model("base", "owner/small")), used, None, option)
    assert (done.returncode, done.stdout, done.report) == (2, "", {})
    last = done.stderr.splitlines()[-1]
    assert last.startswith("init-sync")
    assert named in last
    assert allowed in last
    assert " _" not in last, "names of functions are nobody's business"
    assert footprint(used) == before


@pytest.mark.parametrize("command", ["sync", "plan", "scrub", "prune"])
def test_a_report_that_cannot_be_written_is_said_and_does_not_change_the_outcome(
    command: str, used: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "cache.yaml"
    spec.write_text(json.dumps({}))
    done = run_command(command, spec, used, "--report", str(tmp_path / "missing" / "report.json"))
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if "report could not be written" in line]
    assert "Traceback" not in done.stderr
