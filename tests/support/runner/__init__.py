"""A one-node cluster without containers: what is applied to a Kubernetes API runs as processes of this machine.

It does what kubelet, scheduler, kube-proxy and the controllers of Jobs, Deployments and claims would do, just big
enough for this project's chart: gates are respected, devices counted, init containers run first, failures restarted
after growing pauses, probes asked, termination messages kept, pods ended with SIGTERM and their grace period.

    with LocalApi() as api, Runner(api.kubeconfig(folder), folder / "node", IMAGES, {"nvidia.com/gpu": 1}):
        ...  # create, watch, delete

Each pod has a loopback address of its own. An image is a program of this machine, see ``images``; paths of volumes are
rewritten in arguments and variables, see ``paths``. Not emulated: isolation of any kind, users and read-only mounts,
limits of CPU and memory, pulling, DNS, security contexts, network policies, ephemeral and sidecar
containers, and what the modules say. Objects are taken as the in-memory API stores them, without defaults.
"""

from support.runner.container import Pauses, RunRecord
from support.runner.images import Image, python_image
from support.runner.runner import Runner

__all__ = ["Image", "Pauses", "RunRecord", "Runner", "python_image"]
