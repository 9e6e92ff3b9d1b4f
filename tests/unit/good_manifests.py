"""Manifests that every validator accepts."""

from __future__ import annotations

import json

from unit.manifests import FULL, LONGEST_NAME, Good, document, job, model, one, volume

GOOD = (
    Good("the least that is needed", one()),
    Good("every field at once", FULL),
    Good("JSON", json.dumps({"apiVersion": "modelcache.dev/v1alpha1", "kind": "ModelCache", "metadata": {"name": "a"},
                             "spec": {"models": [{"name": "a", "repo": "o/r", "path": "a"}]}}, indent="\t")),
    Good("JSON with an escaped emoji", '{"apiVersion": "modelcache.dev/v1alpha1", "kind": "ModelCache", "metadata": '
         '{"name": "a"}, "spec": {"models": [{"name": "a", "repo": "o/r", "path": "a", '
         '"displayName": "\\ud83d\\ude00"}]}}'),
    Good("a byte order mark in front", "\ufeff" + one()),
    Good("Windows line ends", one().replace("\n", "\r\n")),
    Good("a Secret and an empty document beside it", f"kind: Secret\nstringData: {{a: b}}\n---\n---\n{one()}---\n"),
    Good("an anchor and a merge key", document("&base " + model(), "{<<: *base, name: other, path: other}")),
    Good("a revision with slashes", one(revision="feature/a/b")),
    Good("a pull request as revision", one(revision="refs/pr/1")),
    Good("a commit as revision", one(revision="0123456789abcdef0123456789abcdef01234567")),
    Good("a commit of digits alone, in quotes", one(revision="'1234567'")),
    Good("a digest that is null", one(digest="null")),
    Good("a repository without an owner", one(repo="gpt2")),
    Good("a repository with every allowed character", one(repo="_Owner-1.a/Model_1.0-b")),
    Good("the longest name", one(name=LONGEST_NAME)),
    Good("a name of one digit", one(name="'1'")),
    Good("a display name in another script", one(displayName="模型 №1")),
    Good("a path with spaces and dots", one(path="'my models/..a/b..c/...'")),
    Good("a path in another script", one(path="模型/base")),
    Good("our own directory's name, deeper", one(path="base/.modelcache")),
    Good("a model inside another model's directory", document(model(), model(name="b", path="base/inner"))),
    Good("an include of a whole directory", one(include='["google/umt5-xxl/"]')),
    Good("patterns with dots and stars", one(include='["...", ".a/..b", "a/...b", "*/", "**/*.json", "a.b/[[]"]')),
    Good("a revision in another script", one(revision="ветка/模型-😀")),
    Good("an exclude that is empty", one(exclude="[]")),
    Good("links that are empty", one(links="[]")),
    Good("optional fields that are null", one(include="null", exclude="~", oneOf="null", links="", revision="null")),
    Good("optional parts that are null", document(spec="volume: null\nauth: ~\nsync: null\nallowPickles: null")),
    Good("an alternative with a revision of its own", one(oneOf="[{file: a.bin}, {file: a.bin, revision: x/y}]")),
    Good("a link beside a model", one(links="[{file: a, at: base2}]")),
    Good("two models of one repository", document(model(), model(name="b", path="b"))),
    Good("a size in plain bytes", volume("create: {size: '1000000'}")),
    Good("all access modes",
         volume("create: {size: 1Gi, accessModes: [ReadWriteOnce, ReadWriteMany, ReadWriteOncePod]}")),
    Good("variables with an empty value, with none, and from elsewhere",
         job("env: [{name: A, value: ''}, {name: B}, {name: C, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]")),
    Good("volumes and mounts of Kubernetes' own kinds",
         job("volumes: [{name: ca, configMap: {name: corp-ca, optional: true}}, {name: tmp2, emptyDir: {}}], "
             "volumeMounts: [{name: ca, mountPath: /ca, readOnly: true}, {name: tmp2, mountPath: /models2}]")),
    Good("a log format that is null", job("logFormat: null")),
    Good("peers of a public cache", document(spec="peers: {enabled: true}")),
    Good("peers without auth, in words", document(spec="auth: null\npeers: {enabled: true, tokenSecret: null}")),
    Good("a private cache that is served with a token",
         document(spec="auth: {secretName: a}\npeers: {enabled: true, tokenSecret: {name: b}}")),
    Good("a private cache that is not served", document(spec="auth: {secretName: a}\npeers: {enabled: null}")),
    Good("peers that are null", document(spec="auth: {secretName: a}\npeers: null")),
    Good("the shortest lead time", document(spec="gate: {leadTime: 10s}")),
    Good("the longest lead time", document(spec="gate: {leadTime: 0h59m60s}")),
    Good("a gate without a lead time", document(spec="gate: {leadTime: null}")),
    Good("a gate that is null", document(spec="gate: null")),
    Good("a copy on every node", volume("claimName: a, perNode: {}")),
    Good("copies on the nodes of a group",
         volume("claimName: a, perNode: {nodeSelector: {pool: gpu}, tolerations: [{operator: Exists}], "
                "maxParallel: 1}")),
    Good("copies that are null", volume("create: {size: 1Gi}, perNode: null")),
    Good("a sync without a job", document(spec="sync: {}")),
)  # fmt: skip
