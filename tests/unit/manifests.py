"""Good and bad manifests as data: one table for every validator of the format.

The command line's own validation must accept every ``Good`` and refuse every ``Bad``, naming exactly its ``fields``.
The custom resource definition must decide alike, except where ``in_cluster`` is False: those documents are refused by
the YAML reader, or cannot be sent to an API server in the first place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

LONG_NAME = "a" * 64
LONGEST_NAME = "a" * 63


@dataclass(frozen=True, slots=True)
class Good:
    """A manifest that every validator accepts."""

    id: str
    text: str
    in_cluster: bool = True


@dataclass(frozen=True, slots=True)
class Bad:
    """A manifest that every validator refuses."""

    id: str
    text: str
    fields: tuple[str, ...]
    """Path of each field that is wrong; ``""`` stands for the whole document."""
    word: str
    """What the message must contain: the rule in words, the wrong value or the cure."""
    in_cluster: bool = True


def model(**fields: str | None) -> str:
    """One entry of ``spec.models`` in flow style; values are YAML, None leaves a required field out."""
    whole: dict[str, str | None] = {"name": "base", "repo": "owner/model", "path": "base", **fields}
    return "{" + ", ".join(f"{key}: {value}" for key, value in whole.items() if value is not None) + "}"


def document(
    *models: str, spec: str = "", metadata: str = "{name: cache}", head: str = "", api_version: str = "v1alpha1"
) -> str:
    """A whole manifest; ``spec`` and ``head`` are further lines at these levels."""
    lines = [f"apiVersion: modelcache.dev/{api_version}", "kind: ModelCache", f"metadata: {metadata}", "spec:"]
    lines += ["  models:", *(f"  - {each}" for each in models or (model(),))]
    lines += [f"  {line}" for line in spec.splitlines()]
    return "\n".join([*lines, head]).rstrip() + "\n"


def one(**fields: str | None) -> str:
    """A manifest of one model with these fields."""
    return document(model(**fields))


def job(fields: str) -> str:
    return document(spec=f"sync: {{job: {{{fields}}}}}")


def volume(fields: str) -> str:
    return document(spec=f"volume: {{{fields}}}")


FULL = document(
    model(
        displayName="Base model",
        repo="Wan-AI/Wan2.1-I2V-14B-480P",
        revision="refs/pr/12",
        path="models/base",
        include='["*.json", "google/umt5-xxl/*", "google/", "[ab]?.bin"]',
        exclude='["*.msgpack"]',
        oneOf="[{file: model.safetensors}, {file: model.safetensors, revision: refs/pr/1}, {file: pytorch_model.bin}]",
        links="[{file: model.safetensors, at: other/model.safetensors}]",
    ),
    model(name="other", path="other"),
    metadata="{name: cache, namespace: default, labels: {a: b}, annotations: {c: d}, resourceVersion: '7', uid: u}",
    spec="""\
allowPickles: false
volume:
  claimName: models
  deletionPolicy: Retain
  create: {size: 110Gi, storageClassName: fast, accessModes: [ReadWriteMany]}
auth: {secretName: hf-token, key: token}
sync:
  job:
    enabled: true
    runAsDefaultUser: false
    image: registry.example/init-sync:1
    imagePullPolicy: IfNotPresent
    priorityClassName: low
    serviceAccountName: sync
    nodeSelector: {disk: ssd}
    labels: {a: b}
    annotations: {c: d}
    affinity: {nodeAffinity: {}}
    resources: {requests: {cpu: 500m}}
    podSecurityContext: {fsGroup: 2000}
    tolerations: [{operator: Exists}]
    imagePullSecrets: [{name: pull}]
    env: [{name: HTTPS_PROXY, value: 'http://proxy:3128'}]
    topologySpreadConstraints: [{maxSkew: 1}]
    backoffLimit: 0
    activeDeadlineSeconds: 1
    ttlSecondsAfterFinished: 0""",
    head="status: {phase: Ready}",
)

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
    Good("a sync without a job", document(spec="sync: {}")),
)  # fmt: skip

OF_THE_TEXT = (
    Bad("nothing", "", ("",), "no document of kind ModelCache", in_cluster=False),
    Bad("a comment alone", "# hello\n", ("",), "no document", in_cluster=False),
    Bad("null", "null\n", ("",), "no document", in_cluster=False),
    Bad("a word", "hello\n", ("",), "must be a mapping", in_cluster=False),
    Bad("a list", "[1, 2]\n", ("",), "a list", in_cluster=False),
    Bad("two ModelCaches", f"{one()}---\n{one()}", ("",), "2 documents", in_cluster=False),
    Bad("documents of other kinds", "kind: Pod\n---\nkind: Secret\n", ("",), "no document", in_cluster=False),
    Bad("a bracket that stays open", "spec: [1, 2\n", ("",), "line 2", in_cluster=False),
    Bad("a tab as indentation", "spec:\n\tmodels: []\n", ("",), "line 2", in_cluster=False),
    Bad("a NUL character", one() + "# \0", ("",), "not valid YAML", in_cluster=False),
    Bad("an alias without an anchor", "spec: *nowhere\n", ("",), "line 1", in_cluster=False),
    Bad("a tag that runs code", "!!python/object/apply:os.getpid []\n", ("",), "line 1", in_cluster=False),
    Bad("a tag of somebody's own", document(spec="volume: !mine {}"), ("",), "!mine", in_cluster=False),
    Bad("a key that is a list", "? [a]\n: b\n", ("",), "line 1", in_cluster=False),
    Bad("a key that stands twice", document(head="kind: ModelCache"), ("",), "'kind' stands twice", in_cluster=False),
    Bad("a field of a model that stands twice", document("{name: a, name: b, repo: o/r, path: a}"), ("",),
        "'name' stands twice", in_cluster=False),
    Bad("a key that stands twice in JSON", '{"kind": "ModelCache", "kind": "ModelCache"}', ("",), "stands twice",
        in_cluster=False),
    Bad("half of an escaped character in JSON", '{"apiVersion": "modelcache.dev/v1alpha1", "kind": "ModelCache", '
        '"metadata": {"name": "a"}, "spec": {"models": [{"name": "a", "repo": "o/r", "path": "a", '
        '"displayName": "\\ud83d"}]}}', ("spec.models[0].displayName",), "\\ud83d", in_cluster=False),
    Bad("a date that does not exist", document(spec="allowPickles: 2021-13-45"), ("",), "line 7",
        in_cluster=False),
    Bad("a tag that its value belies: timestamp", document(spec="allowPickles: !!timestamp x"), ("",), "",
        in_cluster=False),
    Bad("a tag that its value belies: bool", document(spec="allowPickles: !!bool maybe"), ("",), "", in_cluster=False),
    Bad("a tag that its value belies: int", document(spec="allowPickles: !!int ''"), ("",), "", in_cluster=False),
)  # fmt: skip

OF_THE_DOCUMENT = (
    Bad("no kind", one().replace("kind: ModelCache\n", ""), ("kind",), "'ModelCache'"),
    Bad("another kind", one().replace("ModelCache", "Modelcache"), ("kind",), "'Modelcache'"),
    Bad("no apiVersion", one().replace("apiVersion", "#"), ("apiVersion",), "required"),
    Bad("another version", document(api_version="v1"), ("apiVersion",), "'modelcache.dev/v1alpha1'"),
    Bad("apiVersion as a number", one().replace("modelcache.dev/v1alpha1", "1"), ("apiVersion",), "quotes"),
    Bad("a field beside spec", document(head="data: {a: b}"), ("data",), "not a known field"),
    Bad("no metadata", one().replace("metadata: {name: cache}\n", ""), ("metadata", "metadata.name"), "nothing"),
    Bad("metadata that is a list", document(metadata="[a]"), ("metadata", "metadata.name"), "a list"),
    Bad("no name", document(metadata="{}"), ("metadata.name",), "required"),
    Bad("a name in capitals", document(metadata="{name: Cache}"), ("metadata.name",), "lower-case"),
    Bad("a name with a dot", document(metadata="{name: a.b}"), ("metadata.name",), "lower-case"),
    Bad("a name that begins with a dash", document(metadata="{name: -a}"), ("metadata.name",), "beginning"),
    Bad("a name that is too long", document(metadata=f"{{name: {LONG_NAME}}}"), ("metadata.name",), "at most 63"),
    Bad("a name that is a boolean", document(metadata="{name: yes}"), ("metadata.name",), "quotes"),
    Bad("a name with a line end", document(metadata='{name: "a\\n"}'), ("metadata.name",), "lower-case"),
    Bad("an unknown field of metadata", document(metadata="{name: a, nam: b}"), ("metadata.nam",), "'name'"),
    Bad("no spec", "apiVersion: modelcache.dev/v1alpha1\nkind: ModelCache\nmetadata: {name: a}\n",
        ("spec", "spec.models"), "required"),
    Bad("an unknown field of spec", document(spec="model: []"), ("spec.model",), "did you mean 'models'"),
    Bad("an unknown field with a line end", document(spec='"a\\nb": 1'), ("spec.'a\\nb'",), "not a known field"),
    Bad("allowPickles as a word", document(spec="allowPickles: 'false'"), ("spec.allowPickles",), "true or false"),
    Bad("allowPickles as a number", document(spec="allowPickles: 0"), ("spec.allowPickles",), "true or false"),
    Bad("no models", document().replace("  models:\n  - " + model() + "\n", "  allowPickles: true\n"),
        ("spec.models",), "required"),
    Bad("models that are empty", one().replace("models:\n  - " + model(), "models: []"), ("spec.models",), "0 entries"),
    Bad("models that are a mapping", one().replace("- " + model(), "  a: b"), ("spec.models",), "must be a list"),
    Bad("more models than allowed", document(*(model(name=f"m{n}", path=f"m{n}") for n in range(101))),
        ("spec.models",), "101 entries"),
    Bad("a model that is a word", document("base"),
        tuple(f"spec.models[0]{key}" for key in ("", ".name", ".repo", ".path")), "must be a mapping"),
)  # fmt: skip

OF_A_MODEL = (
    Bad("a model without a name", one(name=None), ("spec.models[0].name",), "required"),
    Bad("a model whose name is empty", one(name="''"), ("spec.models[0].name",), "empty"),
    Bad("a model whose name is a number", one(name="1"), ("spec.models[0].name",), "must be a string"),
    Bad("a model with an underscore", one(name="a_b"), ("spec.models[0].name",), "lower-case"),
    Bad("a model with a long name", one(name=LONG_NAME), ("spec.models[0].name",), "at most 63"),
    Bad("a misspelt field", one(revison="main"), ("spec.models[0].revison",), "did you mean 'revision'"),
    Bad("a field in other capitals", one(oneof="[{file: a}]"), ("spec.models[0].oneof",), "did you mean 'oneOf'"),
    Bad("a display name on two lines", one(displayName='"a\\nb"'), ("spec.models[0].displayName",), "one line"),
    Bad("a display name that is too long", one(displayName="a" * 129), ("spec.models[0].displayName",), "128"),
    Bad("no repo", one(repo=None), ("spec.models[0].repo",), "required"),
    Bad("a repo as a URL", one(repo="https://huggingface.co/owner/model"), ("spec.models[0].repo",), "name on the hub"),
    Bad("a repo of three parts", one(repo="a/b/c"), ("spec.models[0].repo",), "a/b/c"),
    Bad("a repo that climbs", one(repo="../model"), ("spec.models[0].repo",), "../model"),
    Bad("a repo with two dots", one(repo="a/b..c"), ("spec.models[0].repo",), "b..c"),
    Bad("a repo with two dashes", one(repo="a/b--c"), ("spec.models[0].repo",), "b--c"),
    Bad("a repo that ends in .git", one(repo="a/b.git"), ("spec.models[0].repo",), "b.git"),
    Bad("a repo that ends in a dash", one(repo="a/b-"), ("spec.models[0].repo",), "b-"),
    Bad("a repo with a question mark", one(repo="'a/b?x=1'"), ("spec.models[0].repo",), "b?x"),
    Bad("a repo with a line end", one(repo='"a/b\\n"'), ("spec.models[0].repo",), "name on the hub"),
    Bad("a repo that is too long", one(repo="a/" + "b" * 95), ("spec.models[0].repo",), "at most 96"),
    Bad("a repo with a space", one(repo="a/b c"), ("spec.models[0].repo",), "b c"),
    Bad("a revision that is a number", one(revision="1234567"), ("spec.models[0].revision",), "quotes"),
    Bad("an empty revision", one(revision="''"), ("spec.models[0].revision",), "empty"),
    Bad("a revision that climbs", one(revision="a/../b"), ("spec.models[0].revision",), "refs/pr/N"),
    Bad("a revision that begins with a slash", one(revision="/main"), ("spec.models[0].revision",), "branch"),
    Bad("a revision that ends with a slash", one(revision="main/"), ("spec.models[0].revision",), "branch"),
    Bad("a revision with a space", one(revision="ma in"), ("spec.models[0].revision",), "branch"),
    Bad("a revision with a question mark", one(revision="'a?b'"), ("spec.models[0].revision",), "branch"),
    Bad("a revision with a line end", one(revision='"main\\n"'), ("spec.models[0].revision",), "branch"),
    Bad("include that is a word", one(include="'*.json'"), ("spec.models[0].include",), "must be a list"),
    Bad("include that is empty", one(include="[]"), ("spec.models[0].include",), "0 entries"),
    Bad("include with a number", one(include="[a, 1]"), ("spec.models[0].include[1]",), "must be a string"),
    Bad("include with an empty pattern", one(include="['']"), ("spec.models[0].include[0]",), "empty"),
    Bad("include that climbs", one(include="['../*']"), ("spec.models[0].include[0]",), "'..'"),
    Bad("include from the root", one(include="['/*.json']"), ("spec.models[0].include[0]",), "absolute"),
    Bad("include that begins with ./", one(include="['./a.json']"), ("spec.models[0].include[0]",), "shortest form"),
    Bad("too many patterns", one(exclude=f"[{', '.join(['a'] * 501)}]"), ("spec.models[0].exclude",), "501 entries"),
    Bad("exclude with a null", one(exclude="[null]"), ("spec.models[0].exclude[0]",), "must be a string"),
    Bad("exclude with a backslash", one(exclude=r"['a\b']"), ("spec.models[0].exclude[0]",), "backslash"),
    Bad("oneOf that is empty", one(oneOf="[]"), ("spec.models[0].oneOf",), "0 entries"),
    Bad("oneOf of words", one(oneOf="[model.safetensors]"),
        ("spec.models[0].oneOf[0]", "spec.models[0].oneOf[0].file"), "must be a mapping"),
    Bad("an alternative without a file", one(oneOf="[{revision: main}]"),
        ("spec.models[0].oneOf[0].file",), "required"),
    Bad("an alternative that climbs", one(oneOf="[{file: ../a}]"), ("spec.models[0].oneOf[0].file",), "'..'"),
    Bad("an alternative with a bad revision", one(oneOf="[{file: a, revision: 'x y'}]"),
        ("spec.models[0].oneOf[0].revision",), "branch"),
    Bad("an unknown field of an alternative", one(oneOf="[{file: a, repo: o/r}]"), ("spec.models[0].oneOf[0].repo",),
        "allowed here: file, revision"),
    Bad("too many alternatives", one(oneOf=f"[{', '.join(f'{{file: f{n}}}' for n in range(17))}]"),
        ("spec.models[0].oneOf",), "17 entries"),
    Bad("a link without a place", one(links="[{file: a}]"), ("spec.models[0].links[0].at",), "required"),
    Bad("a link without a file", one(links="[{at: x/a}]"), ("spec.models[0].links[0].file",), "required"),
    Bad("an unknown field of a link", one(links="[{file: a, at: x, to: y}]"), ("spec.models[0].links[0].to",),
        "allowed here: at, file"),
    Bad("a link to itself", one(links="[{file: a, at: base/a}]"), ("spec.models[0].links[0].at",), "itself"),
    Bad("a link in place of a model", one(links="[{file: a, at: base}]"), ("spec.models[0].links[0].at",), "directory"),
    Bad("a link in place of a model's parent", one(path="x/base", links="[{file: a, at: x}]"),
        ("spec.models[0].links[0].at",), "directory"),
    Bad("two links at one place", one(links="[{file: a, at: x}, {file: b, at: x}]"), ("spec.models[0].links[1].at",),
        "spec.models[0].links[0].at"),
    Bad("a link below another link", one(links="[{file: a, at: x}, {file: b, at: x/y}]"),
        ("spec.models[0].links[1].at",), "spec.models[0].links[0].at"),
    Bad("links of two models at one place", document(
        model(links="[{file: a, at: x}]"), model(name="b", path="b", links="[{file: a, at: x}]")),
        ("spec.models[1].links[0].at",), "'x' is taken"),
    Bad("two models of one name", document(model(), model(path="b")), ("spec.models[1].name",), "spec.models[0].name"),
    Bad("two models at one path", document(model(), model(name="b")), ("spec.models[1].path",), "spec.models[0].path"),
)  # fmt: skip

PATHS_THAT_ARE_REFUSED = {
    "'..'": "'..'",
    "'../base'": "'..'",
    "'a/../../base'": "'..'",
    "'a/..'": "'..'",
    "'/'": "absolute",
    "'/etc'": "absolute",
    "'//etc'": "absolute",
    "'.'": "shortest form",
    "'./base'": "shortest form",
    "'a/./b'": "shortest form",
    "'a//b'": "shortest form",
    "'a/'": "shortest form",
    "''": "empty",
    r"'..\base'": "backslash",
    r"'C:\models'": "backslash",
    r'"a\0b"': "control",
    r'"a\nb"': "control",
    r'"a\x7f"': "control",
    "'.modelcache'": "reserved",
    "'.modelcache/receipts'": "reserved",
    f"'{'a' * 256}'": "too long",
    f"'{'ä' * 128}'": "too long",
    f"'{'/'.join(['a' * 200] * 6)}'": "at most 1024",
    "12": "must be a string",
    "[a]": "must be a string",
    "{a: b}": "must be a string",
}

OF_A_PATH = tuple(
    Bad(f"{where} {path if len(path) < 25 else f'of {len(path)} characters'}", one(**fields), (field,), word)
    for path, word in PATHS_THAT_ARE_REFUSED.items()
    for where, field, fields in (
        ("path", "spec.models[0].path", {"path": path}),
        ("link at", "spec.models[0].links[0].at", {"links": f"[{{file: a, at: {path}}}]"}),
        ("link file", "spec.models[0].links[0].file", {"links": f"[{{file: {path}, at: x}}]"}),
        ("alternative", "spec.models[0].oneOf[0].file", {"oneOf": f"[{{file: {path}}}]"}),
        ("pattern", "spec.models[0].include[0]", {"include": f"[{path}]"}),
    )
    if (where, path) not in {("pattern", "'a/'"), ("pattern", "'/'")}
)
"""A pattern may end in a slash."""

OF_WHITE_SPACE = tuple(
    Bad(f"a revision with U+{ord(space):04X}", one(revision=f'"a\\u{ord(space):04x}b"'), ("spec.models[0].revision",),
        "branch")
    for space in "\t\v\x1c\x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"
)  # fmt: skip
"""What is white space differs between Python and the API server's expressions."""

OF_THE_DEPLOYMENT = (
    Bad("volume that is a word", document(spec="volume: models"), ("spec.volume",), "must be a mapping"),
    Bad("an unknown field of volume", volume("claim: a"), ("spec.volume.claim",), "did you mean 'claimName'"),
    Bad("a claim name in capitals", volume("claimName: Models"), ("spec.volume.claimName",), "lower-case"),
    Bad("another deletion policy", volume("deletionPolicy: Keep"), ("spec.volume.deletionPolicy",), "Retain, Delete"),
    Bad("a claim without a size", volume("create: {storageClassName: a}"), ("spec.volume.create.size",), "110Gi"),
    Bad("a size without sense", volume("create: {size: lots}"), ("spec.volume.create.size",), "110Gi"),
    Bad("a size as a number", volume("create: {size: 100}"), ("spec.volume.create.size",), "quotes"),
    Bad("another access mode", volume("create: {size: 1Gi, accessModes: [RWX]}"),
        ("spec.volume.create.accessModes[0]",), "ReadWriteMany"),
    Bad("no access mode at all", volume("create: {size: 1Gi, accessModes: []}"),
        ("spec.volume.create.accessModes",), "0 entries"),
    Bad("an unknown field of create", volume("create: {size: 1Gi, mode: a}"), ("spec.volume.create.mode",), "allowed"),
    Bad("auth without a secret", document(spec="auth: {key: token}"), ("spec.auth.secretName",), "required"),
    Bad("a token in the manifest", document(spec="auth: {secretName: a, token: hf_x}"), ("spec.auth.token",), "known"),
    Bad("a secret's key with a slash", document(spec="auth: {secretName: a, key: a/b}"), ("spec.auth.key",), "letters"),
    Bad("an unknown field of sync", document(spec="sync: {jobs: {}}"), ("spec.sync.jobs",), "did you mean 'job'"),
    Bad("job that is true", document(spec="sync: {job: true}"), ("spec.sync.job",), "must be a mapping"),
    Bad("enabled as a word", job("enabled: 'yes'"), ("spec.sync.job.enabled",), "true or false"),
    Bad("an unknown field of job", job("nodeselector: {}"), ("spec.sync.job.nodeselector",), "'nodeSelector'"),
    Bad("another pull policy", job("imagePullPolicy: Sometimes"), ("spec.sync.job.imagePullPolicy",), "IfNotPresent"),
    Bad("a node selector that is a list", job("nodeSelector: [a]"), ("spec.sync.job.nodeSelector",), "a mapping"),
    Bad("a node selector with a boolean", job("nodeSelector: {gpu: true}"), ("spec.sync.job.nodeSelector",), "quotes"),
    Bad("tolerations that are a mapping", job("tolerations: {a: b}"), ("spec.sync.job.tolerations",), "a list"),
    Bad("a toleration that is a word", job("tolerations: [a]"), ("spec.sync.job.tolerations[0]",), "a mapping"),
    Bad("resources that are a list", job("resources: [cpu]"), ("spec.sync.job.resources",), "must be a mapping"),
    Bad("a variable without a name", job("env: [{value: a}]"), ("spec.sync.job.env[0].name",), "required"),
    Bad("a variable whose value is a boolean", job("env: [{name: A, value: true}]"), ("spec.sync.job.env[0].value",),
        "put it in quotes"),
    Bad("a variable whose value is a number", job("env: [{name: A, value: 30}]"), ("spec.sync.job.env[0].value",),
        "put it in quotes"),
    Bad("a variable with a misspelt field", job("env: [{name: A, valuefrom: {}}]"),
        ("spec.sync.job.env[0].valuefrom",), "did you mean 'valueFrom'"),
    Bad("two variables of one name", job("env: [{name: A, value: a}, {name: A, value: b}]"),
        ("spec.sync.job.env[1].name",), "spec.sync.job.env[0].name"),
    Bad("a volume of the Job's own name", job("volumes: [{name: models, emptyDir: {}}]"),
        ("spec.sync.job.volumes[0].name",), "volumes of the Job's own"),
    Bad("a volume without a name", job("volumes: [{emptyDir: {}}]"), ("spec.sync.job.volumes[0].name",), "required"),
    Bad("a volume that is a word", job("volumes: [ca]"),
        ("spec.sync.job.volumes[0]", "spec.sync.job.volumes[0].name"), "must be a mapping"),
    Bad("two volumes of one name", job("volumes: [{name: a, emptyDir: {}}, {name: a, emptyDir: {}}]"),
        ("spec.sync.job.volumes[1].name",), "spec.sync.job.volumes[0].name"),
    Bad("a mount over the models", job("volumeMounts: [{name: a, mountPath: /models}]"),
        ("spec.sync.job.volumeMounts[0].mountPath",), "are the Job's own"),
    Bad("a mount at a relative path", job("volumeMounts: [{name: a, mountPath: ca}]"),
        ("spec.sync.job.volumeMounts[0].mountPath",), "absolute path"),
    Bad("a mount at the root", job("volumeMounts: [{name: a, mountPath: /}]"),
        ("spec.sync.job.volumeMounts[0].mountPath",), "absolute path"),
    Bad("a mount of nothing", job("volumeMounts: [{mountPath: /ca}]"), ("spec.sync.job.volumeMounts[0].name",),
        "required"),
    Bad("two mounts at one path", job("volumeMounts: [{name: a, mountPath: /ca}, {name: b, mountPath: /ca}]"),
        ("spec.sync.job.volumeMounts[1].mountPath",), "spec.sync.job.volumeMounts[0].mountPath"),
    Bad("a pull secret that is a word", job("imagePullSecrets: [regcred]"),
        ("spec.sync.job.imagePullSecrets[0]", "spec.sync.job.imagePullSecrets[0].name"), "must be a mapping"),
    Bad("a log format that is none", job("logFormat: yaml"), ("spec.sync.job.logFormat",), "use one of json, text"),
    Bad("runAsDefaultUser as a word", job("runAsDefaultUser: 'no'"), ("spec.sync.job.runAsDefaultUser",),
        "true or false"),
    Bad("a negative backoff limit", job("backoffLimit: -1"), ("spec.sync.job.backoffLimit",), "at least 0"),
    Bad("a backoff limit as a word", job("backoffLimit: '3'"), ("spec.sync.job.backoffLimit",), "whole number"),
    Bad("a backoff limit that is true", job("backoffLimit: true"), ("spec.sync.job.backoffLimit",), "whole number"),
    Bad("a backoff limit with a fraction", job("backoffLimit: 1.5"), ("spec.sync.job.backoffLimit",), "whole number"),
    Bad("a deadline of nothing", job("activeDeadlineSeconds: 0"), ("spec.sync.job.activeDeadlineSeconds",), "1"),
)  # fmt: skip

OF_SEVERAL_FIELDS = (
    Bad("many mistakes at once", document(
        model(name="A", repo="a b", path="../x", revison="main"), model(name="b", include="[1]"),
        metadata="{name: Cache, x: y}", spec="allowPickles: 1\nvolumes: {}"),
        ("metadata.name", "metadata.x", "spec.models[0].name", "spec.models[0].repo", "spec.models[0].path",
         "spec.models[0].revison", "spec.models[1].include[0]", "spec.allowPickles", "spec.volumes"), "Cache"),
)  # fmt: skip

BAD = OF_THE_TEXT + OF_THE_DOCUMENT + OF_A_MODEL + OF_A_PATH + OF_WHITE_SPACE + OF_THE_DEPLOYMENT + OF_SEVERAL_FIELDS
