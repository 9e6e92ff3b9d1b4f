"""Kubernetes APIs for tests and the demo: an in-memory one, and a real one where its programs are at hand.

``LocalApi`` is the in-memory one, in a thread of its own. Not emulated: RBAC, admission (quotas, pod security, limits),
scheduling, kubelets and controllers (but for garbage collection by owner; ``support.runner`` does what the demo needs),
real field ownership (server-side apply merges and forgets what its manager dropped, but never conflicts), aggregated
discovery, exec and the following of logs, list categories, versions other than the stored one. Of CRDs it does schema,
defaults, pruning, list maps and CEL (a library stands in for the API server's, without cost limits). Whatever is tested
on it is to be tested on ``RealApi`` too.

``FaultProxy`` stands before either of them: it spoils calls on demand and records their verbs and resources.
"""

from support.kubeapi.errors import ApiError
from support.kubeapi.fault_proxy import FaultProxy
from support.kubeapi.local import LocalApi
from support.kubeapi.real import RealApi, assets

__all__ = ["ApiError", "FaultProxy", "LocalApi", "RealApi", "assets"]
