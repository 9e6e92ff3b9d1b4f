"""docs/operations.md has an entry for everything that can be wrong."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import yaml

from init_sync.core.reasons import Reason

from .pages import ROOT, page

PARTS = ("**Means**", "**Causes**", "**Look at**", "**Cure**")
RULES = ROOT / "charts" / "modelcache" / "rules"
OPERATOR = ROOT / "operator" / "src" / "modelcache_operator"
WORD = re.compile(r"[A-Z][A-Za-z]+")
SPEAKERS = (
    *("core/messages.py", "core/claims.py", "core/phase.py", "core/phase_inputs.py", "core/conditions.py"),
    *("core/peers.py", "core/unheld.py", "kube/gates.py", "kube/notices.py", "kube/queues.py", "kube/errors.py"),
    *("core/tasks.py", "core/task_ends.py", "core/task_plan.py"),
    *("core/copy_status.py", "core/copy_messages.py", "kube/node_table.py"),
)
NOT_REASONS = frozenset(
    {
        *("Reconciling", "VolumeReady", "PodsHeld", "LeadTime", "Lost", "True", "Unknown", "Normal", "Warning"),
        *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"),
        *("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "ContainerCreating"),
        *("ConfigMap", "Secret", "Pod", "KMGTPE"),
        *("ReadWriteMany", "ReadWriteOncePod"),
    }
)
"""Words of that shape in these modules that no condition or Event carries as its reason."""


def section(title: str, level: int = 2) -> str:
    """The text below a heading, as far as the next one of its level."""
    text = (ROOT / "docs" / "operations.md").read_text()
    found = re.search(rf"^#{{{level}}} {title}\n(.*?)(?=^#{{1,{level}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/operations.md has no heading {title}"
    return found[1]


def rows(text: str) -> set[str]:
    """The words in the first cells of its tables."""
    cells = (line.split("|")[1] for line in text.splitlines() if line.startswith("| "))
    return {word for cell in cells for word in re.findall(r"\w+", cell)}


def alerts() -> set[str]:
    groups = [yaml.safe_load(path.read_text()) for path in RULES.glob("*.yaml")]
    return {rule["alert"] for group in groups for rule in group["rules"]}


def words_of_the_operator() -> Iterator[str]:
    for name in SPEAKERS:
        for node in ast.walk(ast.parse((OPERATOR / name).read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and WORD.fullmatch(node.value):
                yield node.value


def test_the_alerts_of_the_chart_are_the_headings_of_the_runbook() -> None:
    headings = set(re.findall(r"^### (\w+)$", section("Alerts"), re.MULTILINE))
    assert alerts() == headings


def test_every_entry_says_what_it_means_what_causes_it_where_to_look_and_what_to_do() -> None:
    for alert in re.findall(r"^### (\w+)$", section("Alerts"), re.MULTILINE):
        entry = section(alert, level=3)
        assert [word for word in PARTS if word not in entry] == [], alert


def test_an_alert_links_to_its_entry() -> None:
    assert {alert.lower() for alert in alerts()} <= page("docs/operations.md").anchors


def test_every_reason_of_a_sync_has_a_row() -> None:
    assert {str(reason) for reason in Reason} == rows(section("Of a sync", level=3)) - {"reason"}


def test_every_reason_of_the_operator_has_a_row() -> None:
    said = {word for word in words_of_the_operator() if word not in NOT_REASONS} - {str(reason) for reason in Reason}
    titles = ("Of the operator", "Of a peer server", "In Events")
    described = {word for title in titles for word in rows(section(title, level=3))}
    assert said - described == set()


def test_no_row_describes_a_reason_that_nobody_gives() -> None:
    of_kubernetes = {"DeadlineExceeded", "BackoffLimitExceeded", "PodFailurePolicy"}  # a Job's own, passed on
    described = rows(section("Of the operator", level=3)) | rows(section("Of a peer server", level=3))
    assert described - {"reason"} - set(words_of_the_operator()) - of_kubernetes == set()
