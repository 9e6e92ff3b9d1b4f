"""The manifest, declared once: every field with its kind, bounds, default and description.

Made of this table: what ``init-sync`` and the operator accept and the words in which they refuse (``manifest``), and by
``make generated`` the custom resource definition, the reference page and the chart's schema of models and Job.

A new field is one entry here, or in ``manifest_job``, and an attribute where code reads it. If it decides which files
are needed, it belongs in ``Model.requirement_digest`` too.
"""

from __future__ import annotations

from init_sync.core.fields import Choice, Duration, Field, Flag, Group, Listing, Native, Number, Path, Text, Texts
from init_sync.core.manifest_job import JOB
from init_sync.core.manifest_rules import (
    DIGEST,
    KEY,
    LINE,
    NAME,
    PERCENT,
    QUANTITY,
    REPO,
    REVISION,
    SIZE,
    TIME_SPAN,
    object_name,
)

API_VERSION = "modelcache.dev/v1alpha1"
KIND = "ModelCache"


MODEL = Group(
    "One repository, or a part of it, that belongs in one directory of the volume.",
    {
        "name": Text("Name of the model, unique within the cache.", rule=NAME, max_length=63, required=True),
        "displayName": Text("What logs call the model. The name unless set.", rule=LINE, max_length=128),
        "repo": Text(
            "The repository on the hub, such as Wan-AI/Wan2.1-I2V-14B-480P.", rule=REPO, max_length=96, required=True
        ),
        "revision": Text(
            "Branch, tag, commit or refs/pr/N. It is resolved to a commit once and then pinned on the volume, until a "
            "resync.",
            rule=REVISION,
            default="main",
        ),
        "path": Path("Directory of the model on the volume.", required=True),
        "digest": Text(
            "The content that the model must have: sha256:HEX, the SHA-256 of its SHA256SUMS text. A model with "
            "another digest is never complete. Which files are fetched does not depend on it. Any content unless set.",
            rule=DIGEST,
            max_length=71,
        ),
        "include": Listing(
            "Patterns of the files wanted, as the hub client has them: * matches across directories too. Every file "
            "unless set.",
            Path("A pattern.", is_pattern=True),
            minimum=1,
            maximum=500,
        ),
        "exclude": Listing(
            "Patterns of files that are not wanted, though included.", Path("A pattern.", is_pattern=True), maximum=500
        ),
        "oneOf": Listing(
            "Files of which one is enough, in the order of preference: the first that the hub has is taken, and any "
            "that is complete on the volume counts.",
            Group(
                "One of the alternatives.",
                {
                    "file": Path("Path of the file in the repository.", required=True),
                    "revision": Text("Where to look for it. The model's revision unless set.", rule=REVISION),
                },
            ),
            minimum=1,
            maximum=16,
        ),
        "links": Listing(
            "Files that must be found at another place on the volume too.",
            Group(
                "One such file.",
                {
                    "file": Path("Path of the file in the repository.", required=True),
                    "at": Path("Path on the volume where it must be found.", required=True),
                },
            ),
            maximum=32,  # lets the rules about links fit into an API server's budget for one definition
            key="at",
            key_rule="only one file can be there",
        ),
    },
    cel=(
        (
            "!has(self.links) || self.links.all(link, link.at != self.path + '/' + link.file)",
            "a link is at the very place of its file; choose another place",
        ),
        (
            "!has(self.links) || self.links.all(link, self.path != link.at && !self.path.startsWith(link.at + '/'))",
            "a link is in place of the directory of its model; name a file",
        ),
    ),
)

CLAIM_OF_EACH_NODE = (
    "cannot be combined with spec.volume.create: name a claim in spec.volume.claimName that is ReadWriteMany and bound "
    "to a local PersistentVolume whose node affinity matches all the nodes"
)
NEEDS_CLAIM = (
    "is required with spec.volume.perNode: name a claim that is ReadWriteMany and bound to a local PersistentVolume "
    "whose node affinity matches all the nodes"
)
NEEDS_JOBS = (
    "must be true with spec.volume.perNode, for a Job syncs the copy of each node: set it to true, or remove "
    "spec.volume.perNode"
)
TASKS_NEED_JOBS = (
    "must be true with spec.volume.create.size: auto, spec.volume.prune, spec.scrub and spec.updates, for Jobs do what "
    "these ask for: set it to true, or remove them"
)
HEADROOM_OF_AUTO = (
    "has no effect on a size that is given: set spec.volume.create.size to auto, or remove spec.volume.create.headroom"
)

VOLUME = Group(
    "The PersistentVolumeClaim that holds the models, in the namespace of the cache.",
    {
        "claimName": object_name("Name of the claim. If it is to be created, the cache's name unless set."),
        "create": Group(
            "Create the claim unless it exists.",
            {
                "size": Text(
                    "A Kubernetes quantity, such as 110Gi. auto: what the models need, which a Job asks the hub before "
                    "the claim is created, and again when they change; the claim is enlarged then, and never made "
                    "smaller.",
                    rule=SIZE,
                    max_length=32,
                    required=True,
                ),
                "headroom": Text(
                    "With size: auto, how much more than the models need is requested. 10% unless set.", rule=PERCENT
                ),
                "storageClassName": object_name("The cluster's default class unless set."),
                "accessModes": Listing(
                    "How the claim is mounted. Several nodes need ReadWriteMany.",
                    Choice("An access mode.", "ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"),
                    minimum=1,
                    maximum=3,
                    default=("ReadWriteOnce",),
                ),
            },
            cel=(
                (
                    "!has(self.headroom) || self.size == 'auto'",
                    f"spec.volume.create.headroom {HEADROOM_OF_AUTO}",
                ),
            ),
        ),
        # No default: every stored cache would get it, and 0.1.0 refuses fields that it does not know after a rollback.
        "prune": Flag(
            "Whether a Job removes files of this cache that nothing needs any more: after each sync of other content, "
            "once no pod uses the content before it. Not unless set.",
        ),
        "deletionPolicy": Choice(
            "What becomes of a claim that the operator created when the cache is deleted: Retain keeps it, Delete "
            "deletes it, unless another cache uses it.",
            "Retain",
            "Delete",
            default="Retain",
        ),
        "perNode": Group(
            "Each matching node has a copy of its own behind the same claim, which must be ReadWriteMany and bound to "
            "a local PersistentVolume. A Job syncs each copy; where it runs is said here, and nodeSelector, affinity "
            "and topologySpreadConstraints of spec.sync.job have no effect. The operator must be allowed to see nodes.",
            {
                "nodeSelector": Texts("Labels of the nodes that have a copy. Every node unless set."),
                "tolerations": Listing(
                    "Taints that do not keep a node from having a copy, as in a pod; those of spec.sync.job are "
                    "tolerated too.",
                    Native("A toleration."),
                ),
                "maxParallel": Number(
                    "How many copies are synced at the same time, once the first is complete.", minimum=1, default=2
                ),
            },
            optional=True,
        ),
    },
    cel=(
        ("!has(self.perNode) || !has(self.create)", f"spec.volume.perNode {CLAIM_OF_EACH_NODE}"),
        ("!has(self.perNode) || has(self.create) || has(self.claimName)", f"spec.volume.claimName {NEEDS_CLAIM}"),
    ),
)

AUTH = Group(
    "Access to private and gated repositories.",
    {
        "secretName": object_name(
            "Secret with the token, in the same namespace. Only sync containers see it; the operator cannot read it.",
            required=True,
        ),
        "key": Text("Key of the token in the Secret.", rule=KEY, default="token"),
    },
)

PEERS_ARE_PRIVATE = (
    "is required with spec.auth: name a Secret with a token that clients of the server must send, or set "
    "spec.peers.enabled to false"
)
"""What the hub gives to nobody without a token, a peer does not give to everybody."""
PEERS = Group(
    "Serving a complete copy to other copies, so that each file is downloaded from the hub once.",
    {
        "enabled": Flag(
            "Whether the operator runs one server beside the volume, once it is complete, and gives its address to "
            "sync Jobs of this cache.",
            default=False,
        ),
        "tokenSecret": Group(
            "The token that clients of the server must send. None unless set. Required with spec.auth.",
            {
                "name": object_name("Secret with the token, in the same namespace.", required=True),
                "key": Text("Key of the token in the Secret.", rule=KEY, default="token"),
            },
        ),
    },
)

GATE = Group(
    "When the scheduling gate of waiting pods is removed. Once the cache is complete, unless set.",
    {
        "leadTime": Duration(
            "Remove the gate this long before the sync is expected to end, so that a node starts meanwhile. The pod's "
            "init container waits for the rest, and the pod holds its GPU for that time. Only for volumes that several "
            "nodes can mount, and for pods that select the node of the sync Job by kubernetes.io/hostname.",
            rule=TIME_SPAN,
            minimum="10s",
            maximum="1h",
        ),
    },
)

SCRUB = Group(
    "The files on the volume are read again on a schedule, and compared with their receipts, while the cache is Ready. "
    "A file that is damaged is synced again. Never unless set.",
    {
        "every": Duration(
            "How long after one such reading, or a sync, the next begins; up to a tenth of it later, so that caches do "
            "not all begin at once.",
            rule=TIME_SPAN,
            minimum="1m",
            default="168h",
        ),
        "rate": Text("Bytes a second that are read at most.", rule=QUANTITY, max_length=32, default="50Mi"),
    },
    optional=True,
)

UPDATES = Group(
    "The hub is asked on a schedule whether branches and tags have moved since the sync. The condition UpdateAvailable "
    "says so; nothing is fetched until the annotation modelcache.dev/resync is set. Never unless set.",
    {
        "check": Duration(
            "How long after one such question, or a sync, the next is asked; up to a tenth of it later, so that caches "
            "do not all ask at once.",
            rule=TIME_SPAN,
            minimum="1m",
            default="24h",
        ),
    },
    optional=True,
)

SPEC = Group(
    "What the volume must hold, and how it gets there.",
    {
        "models": Listing(
            "The models that make up the cache. It is complete when all of them are.",
            MODEL,
            minimum=1,
            key="name",
            key_rule="each model needs a name of its own",
            required=True,
            hint="list at least one model",
            cel=(
                (
                    "self.all(model, self.exists_one(other, other.path == model.path))",
                    "each model needs a directory of its own",
                ),
            ),
        ),
        "allowPickles": Flag(
            "Whether pickle-based files (.bin, .pth, .pt) may be fetched. They can run code when they are loaded "
            "carelessly.",
            default=True,
        ),
        "volume": VOLUME,
        "auth": AUTH,
        "sync": Group("How syncing is done.", {"job": JOB}),
        "gate": GATE,
        "peers": PEERS,
        "scrub": SCRUB,
        "updates": UPDATES,
    },
    required=True,
    cel=(
        (
            "!has(self.sync) || !has(self.sync.job) || !has(self.sync.job.enabled) || self.sync.job.enabled "
            "|| !(has(self.scrub) || has(self.updates) || has(self.volume) && (has(self.volume.prune) && "
            "self.volume.prune || has(self.volume.create) && self.volume.create.size == 'auto'))",
            f"spec.sync.job.enabled {TASKS_NEED_JOBS}",
        ),
        (
            "!has(self.auth) || !has(self.peers) || !has(self.peers.enabled) || !self.peers.enabled "
            "|| has(self.peers.tokenSecret)",
            f"spec.peers.tokenSecret {PEERS_ARE_PRIVATE}",
        ),
        (
            "!has(self.volume) || !has(self.volume.perNode) || !has(self.sync) || !has(self.sync.job) "
            "|| !has(self.sync.job.enabled) || self.sync.job.enabled",
            f"spec.sync.job.enabled {NEEDS_JOBS}",
        ),
    ),
)

CACHE_NAME = Text("The name of the cache.", rule=NAME, max_length=63, required=True)
_METADATA = (
    *("annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers"),
    *("generateName", "generation", "labels", "managedFields", "namespace", "ownerReferences", "resourceVersion"),
    *("selfLink", "uid"),
)
DOCUMENT = Group(
    "A set of models that a PersistentVolumeClaim must hold, complete and verified, before pods that serve them start.",
    {
        "apiVersion": Choice(API_VERSION, API_VERSION, required=True),
        "kind": Choice(KIND, KIND, required=True),
        "metadata": Group(
            "As in every Kubernetes object.",
            {"name": CACHE_NAME, **{name: Field("Kubernetes' own.") for name in _METADATA}},
            required=True,
        ),
        "spec": SPEC,
        "status": Field("What the operator writes."),
    },
)
