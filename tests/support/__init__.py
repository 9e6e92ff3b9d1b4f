"""Development tools: what the real programs are run against, run by and looked at with. Only tests and make use them.

Stand-ins, each a package that says at its top what it does not do:

    hub             a Hugging Face hub on loopback, with faults on demand
    kubeapi         Kubernetes APIs: one in memory, one real where its programs are at hand, a proxy that spoils calls
    runner          a node that runs what is in pods as processes of this machine, as big as the demo needs it
    kubelet         the statuses that Job controller, scheduler and kubelet would write; runs nothing but init-sync
    pure_cluster    a cluster of one cache as plain values, for the operator's pure part

The one MultiTalk of hub, demo and engine tests: ``checkpoint`` (a tiny one, written once).

Smaller servers: ``listener`` (bare sockets), ``scripted_server`` (answers byte by byte), ``proxy`` (remembers what it
was asked).

The real programs as processes: ``sync`` (init-sync, and manifests for it), ``crash`` (init-sync that dies on demand),
``operator_process``, ``forking`` (starts these two without their imports), ``serve`` (``make serve``), ``demo``
(``make demo``), ``programs`` (small Python programs with a bound).

Each of the last three has its own use: ``runner`` makes things happen, in ``kubelet`` the test says on an API what
happened, in ``pure_cluster`` without one. The entries of a status are composed in one place, ``runner.statuses``.

What tests begin with: ``cluster`` (a namespace with an operator), ``three_models`` (on a volume), ``linked_volume``
(two linked models on a volume, to damage), ``kill_lab`` (two versions of a model, to interrupt), ``locking`` (a lock
with a clock of the test's), ``outages`` (options and looks for them), ``reports`` (reports of a sync).

Rules to hold things against: ``schemas`` (the report), ``kubeschemas`` (Kubernetes' objects), ``podsecurity``.

The chart: ``helm``, ``tools`` (fetches Helm and kubectl).
"""
