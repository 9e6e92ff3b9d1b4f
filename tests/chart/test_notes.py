"""The notes of a release: what has no effect, what must be there, and what to do next."""

from __future__ import annotations

from typing import Any

import pytest

from chart.sets import WITH_PEERS, on_nodes
from support.helm import CHART, Helm

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {
                "operator": {"enabled": False},
                "cache": {"enabled": False, "name": "a"},
                "sync": {"endpoint": "http://b"},
            },
            "sync.endpoint, sync.env and sync.caBundle reach the init container of this release alone",
        ),
        (
            {"operator": {"enabled": False}, "inference": {"enabled": False}, "sync": {"image": {"tag": "1"}}},
            "sync.image has no effect here",
        ),
        ({"sync": {"caBundle": {"configMapName": "corp"}}}, "create configmap corp --from-file=ca.crt=ca.pem"),
    ],
    ids=["an existing cache", "no sync container", "a bundle"],
)
def test_the_notes_say_what_has_no_effect_and_what_must_be_there(helm: Helm, values: Json, words: str) -> None:
    with_words = helm.run("install", "a", str(CHART), "--dry-run=client", values=values)
    without = helm.run("install", "a", str(CHART), "--dry-run=client", values={**values, "sync": {}})
    assert words in with_words
    assert words not in without


def test_the_notes_say_where_the_peer_server_is_and_which_token_it_wants(helm: Helm) -> None:
    peers = {"enabled": True, "tokenSecret": {"name": "t", "key": "k"}}
    notes = helm.run("install", "a", str(CHART), "--dry-run=client", values={**WITH_PEERS, "cache": {"peers": peers}})
    assert "--for=condition=PeersReady modelcache/a" in notes
    assert "create secret generic t --from-file=k=/dev/stdin" in notes


def test_the_notes_say_where_the_size_is_told_and_how_an_update_is_taken(helm: Helm) -> None:
    values = {"cache": {"volume": {"size": "auto"}, "updates": {"check": "24h"}}}
    notes = helm.run("install", "a", str(CHART), "--dry-run=client", values=values)
    assert "get modelcaches a -o jsonpath='{.status.size}'" in notes
    assert "annotate modelcache a modelcache.dev/resync=" in notes
    assert "keeps claim a-models" in notes
    plain = helm.run("install", "a", str(CHART), "--dry-run=client", values={})
    assert "status.size" not in plain
    assert "resync" not in plain


def test_the_notes_say_which_key_clients_of_the_server_must_send(helm: Helm) -> None:
    values = {"inference": {"apiKeySecret": {"name": "clients", "key": "all"}}}
    notes = helm.run("install", "a", str(CHART), "--dry-run=client", values=values)
    assert "create secret generic clients --from-file=all=/dev/stdin" in notes


def test_the_notes_say_how_to_make_the_directory_on_the_nodes(helm: Helm) -> None:
    def notes(**values: Any) -> str:
        return helm.run("install", "a", str(CHART), "--dry-run=client", values={**on_nodes("/ssd/m"), **values})

    assert "install -d -o 65532 -g 65532 -m 2775 /ssd/m" in notes()
    assert "install -d -m 2775 /ssd/m" in notes(runAsDefaultUser=False)
