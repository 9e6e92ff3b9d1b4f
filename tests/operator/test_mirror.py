"""The mirror of the API: versions, full lists, and who hears of whom."""

from __future__ import annotations

from typing import Any

from modelcache_operator.kube.key import Key
from modelcache_operator.kube.mirror import Mirror

Json = dict[str, Any]


def _object(name: str, version: int, uid: str = "u", **labels: str) -> Json:
    metadata = {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata, "spec": {}, "status": {}}


def _pod(name: str, version: int, uid: str = "u") -> Json:
    raw = _object(name, version, uid)
    raw["metadata"]["labels"] = {"modelcache.dev/cache": "cache"}
    return raw


KEY = Key("ns", "cache")


def test_an_older_version_does_not_replace_a_newer_one() -> None:
    mirror = Mirror()
    assert list(mirror.upsert_pod(_pod("p", 5))) == [KEY]
    assert list(mirror.upsert_pod(_pod("p", 4))) == []
    assert list(mirror.upsert_pod(_pod("p", 5))) == []
    assert list(mirror.upsert_pod(_pod("p", 3, uid="another pod of that name"))) == [KEY]


def test_a_full_list_drops_what_is_gone_and_keeps_what_is_newer_than_itself() -> None:
    mirror = Mirror()
    for name, version in (("gone", 5), ("there", 6), ("newer", 9)):
        mirror.upsert_pod(_pod(name, version, uid=name))
    assert list(mirror.prune_pods(lambda _namespace, uid: uid == "there", 7)) == [KEY]
    assert sorted(mirror.pods[KEY]) == ["newer", "there"]


def test_the_mirror_keeps_nothing_of_a_cache_that_is_gone() -> None:
    """The garbage collector deletes its Jobs after it."""
    mirror = Mirror()
    mirror.upsert_cache(_cache("cache"))
    mirror.refuse(KEY, object="quota", until=9.0)
    job = _object("cache-sync-1", 5, "job", **{"modelcache.dev/cache": "cache"})
    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    mirror.upsert_job(job)
    mirror.delete_cache(KEY)
    mirror.delete_job(job)
    assert not mirror.refuse(KEY, object="", until=0.0)
    assert (mirror.refusals, mirror._ended, dict(mirror.jobs)) == ({}, {}, {})


def test_a_job_of_the_users_does_not_hide_the_end_of_a_sync_job() -> None:
    mirror = Mirror()
    mirror.upsert_cache(_cache("cache"))
    for name, labels in (("cache-sync-1", {"modelcache.dev/attempt": "1"}), ("train", {})):
        job = _object(name, 5, name, **{"modelcache.dev/cache": "cache", **labels})
        owner = {"apiVersion": "modelcache.dev/v1alpha1", "kind": "ModelCache", "uid": "cache", "controller": True}
        job["metadata"]["ownerReferences"] = [owner]
        job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
        mirror.upsert_job(job)
        mirror.delete_job(job)
    snapshot = mirror.snapshot(KEY)
    assert snapshot is not None
    assert [job.name for job in snapshot.jobs] == ["cache-sync-1"]


def _cache(name: str, version: int = 1, claim: str = "models", repo: str = "o/r", path: str = "base") -> Json:
    raw = _object(name, version, uid=name)
    raw["metadata"] |= {"generation": version, "creationTimestamp": "2026-11-23T01:00:00Z"}
    models = [{"name": "base", "repo": repo, "path": path}]
    return {**raw, "spec": {"models": models, "volume": {"claimName": claim}}}


def test_caches_on_one_claim_hear_of_each_other_only_when_it_matters() -> None:
    mirror = Mirror()
    assert set(mirror.upsert_cache(_cache("a"))) == {Key("ns", "a")}
    assert set(mirror.upsert_cache(_cache("b", path="b"))) == {Key("ns", "b"), Key("ns", "a")}, "no longer alone"
    assert set(mirror.upsert_cache(_cache("c", path="c"))) == {Key("ns", "c")}
    assert set(mirror.upsert_cache(_cache("d", repo="o/other"))) == {Key("ns", "d"), Key("ns", "a")}, "the same place"
    snapshot = mirror.snapshot(Key("ns", "a"))
    assert snapshot is not None
    assert [each.name for each in snapshot.neighbours] == ["d"]
    assert snapshot.claim_shared
    assert set(mirror.delete_cache(Key("ns", "d"))) == {Key("ns", "d"), Key("ns", "a")}
    mirror.delete_cache(Key("ns", "c"))
    assert set(mirror.delete_cache(Key("ns", "b"))) == {Key("ns", "b"), Key("ns", "a")}, "alone again"


def test_a_claim_that_nobody_uses_any_more_is_forgotten() -> None:
    mirror = Mirror()
    mirror.upsert_cache(_cache("a"))
    mirror.upsert_claim(Key("ns", "models"), None)
    mirror.upsert_cache(_cache("a", version=2, claim="others"))
    assert mirror.claims == {}
    assert mirror.used_claims() == {Key("ns", "others")}
