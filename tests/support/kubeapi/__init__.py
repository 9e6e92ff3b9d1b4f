"""Kubernetes APIs for tests and the demo: an in-memory one, and a real one where its programs are at hand.

``LocalApi`` is the in-memory one, in a thread of its own. Of CRDs it does schema, defaults, pruning, list maps and CEL
(a library stands in for the API server's, without cost limits). Not emulated:

- validation, defaults and immutable fields of built-in kinds: what is sent is what is stored, a Job's template or a
  pod's gates may be changed at will; nor the rules for names;
- RBAC and admission (quotas, pod security, limits, priority and fairness);
- scheduling, kubelets and controllers, but for garbage collection by owner, in the background whatever is asked for
  (``support.runner`` does what the demo needs);
- server-side apply, field ownership and strategic merge patches (kubectl labels and annotates custom resources, not
  built-in kinds); JSON patches cannot copy and move;
- preconditions of a DELETE, lists as of an older version (pages are cut from what is there now), selectors limited to
  the fields that a kind allows;
- subresources but for status, binding and log (which cannot be followed), aggregated discovery, list categories,
  versions other than the stored one, OpenAPI, protobuf (so there is no ``helm install``).

Whatever is tested on it is to be tested on ``RealApi`` too.

``FaultProxy`` stands before either of them: it spoils calls on demand and records their verbs and resources.
"""

from support.kubeapi.errors import ApiError
from support.kubeapi.fault_proxy import FaultProxy
from support.kubeapi.local import LocalApi
from support.kubeapi.real import RealApi, assets

__all__ = ["ApiError", "FaultProxy", "LocalApi", "RealApi", "assets"]
