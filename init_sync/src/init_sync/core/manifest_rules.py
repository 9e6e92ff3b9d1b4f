"""What texts in a manifest may be; ``manifest_schema`` says of which field. Each with the words that refuse others."""

from __future__ import annotations

from init_sync.core.fields import Rule, Text

NAME = Rule(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?",
    "use lower-case letters, digits and '-', beginning and ending with a letter or digit",
)
OBJECT_NAME = Rule(
    r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?",
    "use lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit",
)
LINE = Rule(r"[^\x00-\x1f\x7f]+", "keep it on one line")
REPO = Rule(
    r"([A-Za-z0-9_][A-Za-z0-9._-]*/)?[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?",
    "use the repository's name on the hub, such as 'Wan-AI/Wan2.1-I2V-14B-480P'; data sets and spaces are not served",
    without=("--", ".."),
    not_ending=(".git",),
)
REVISION = Rule(
    r"[^\s\x00-\x1f\x7f~^:?*\[\\/][^\s\x00-\x1f\x7f~^:?*\[\\]*",
    "use a branch, a tag, a commit or 'refs/pr/N'",
    without=("..", "//", "@{"),
    not_ending=(".", "/"),
)
QUANTITY = Rule(r"[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?", "use a Kubernetes quantity such as '110Gi'")
SIZE = Rule(f"(auto|{QUANTITY.pattern})", "use a Kubernetes quantity such as '110Gi', or 'auto'")
PERCENT = Rule(r"[0-9]{1,3}%", "use a whole number of percent, such as '10%'")
VOLUME_NAME = Rule(
    NAME.pattern,
    f"{NAME.cure}; models, manifest and tmp are volumes of the Job's own",
    reserved=("models", "manifest", "tmp"),
)
MOUNT_PATH = Rule(
    r"/[^:\x00-\x1f\x7f]*[^:/\x00-\x1f\x7f]",
    "use an absolute path without ':' and without '/' at its end; /models, /etc/modelcache and /tmp are the Job's own",
    reserved=("/models", "/etc/modelcache", "/tmp"),  # noqa: S108 - mount points, not files of ours
)
DIGEST = Rule(
    r"sha256:[0-9a-f]{64}",
    "use 'sha256:' and 64 digits from 0-9 and a-f, as 'init-sync status --json' shows the digest of a model",
)
TIME_SPAN = Rule(r"([0-9]+h)?([0-9]+m)?([0-9]+s)?", "use a duration such as '3m' or '1m30s'")
KEY = Rule(r"[-._a-zA-Z0-9]+", "use letters, digits, '-', '_' and '.'")


def object_name(description: str, **options: object) -> Text:
    return Text(description, rule=OBJECT_NAME, **options)
