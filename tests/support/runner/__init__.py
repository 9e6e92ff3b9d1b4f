"""A one-node cluster without containers: what is applied to a Kubernetes API runs as processes of this machine.

It does what scheduler, kubelet, provisioner and the controllers of Jobs and Deployments would do, just big enough for
this project's chart: gates are respected, devices counted, init containers run first, failures restarted after growing
pauses, readiness asked for, termination messages kept, pods ended with SIGTERM and their grace period.

    with LocalApi() as api, Runner(api.kubeconfig(folder), folder / "node", IMAGES, {"nvidia.com/gpu": 1}):
        ...  # create, watch, delete

Each pod has a loopback address of its own. An image is a program of this machine, see ``images``; paths of volumes are
rewritten in arguments and variables, see ``paths``. Not emulated: Services (a pod's own address is the way to it),
rollouts and statuses of Deployments, startup and liveness probes, hooks, Secrets, changes of a ConfigMap under a
running pod, isolation of any kind, users and read-only mounts, limits of CPU and memory, pulling, DNS, sidecars, and
what the modules say. A pod that asks for what it could not run without fails with the reason NotEmulated.
"""

from support.runner.images import Image, python_image
from support.runner.pod import RunRecord
from support.runner.runner import Runner

__all__ = ["Image", "RunRecord", "Runner", "python_image"]
