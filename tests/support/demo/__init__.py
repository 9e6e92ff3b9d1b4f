"""``make demo``: everything that a cluster would show, on this machine, in less than two minutes.

Real: init-sync, the operator, the MultiTalk server, the chart and Helm. Stand-ins: a local hub with small models, a
Kubernetes API in memory, a runner that starts what is in a pod's spec as processes, and a GPU that is just a number.
"""
