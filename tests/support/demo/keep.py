"""The lines that ``make demo KEEP=1`` prints."""

from __future__ import annotations

import shlex

from support.demo.acts import SERVING, SHARD, server_url
from support.demo.spectator import NAMESPACE
from support.demo.stage import Stage
from support.serve import example_arguments, write_example


def lines_to_try(stage: Stage) -> str:
    picture, voice = write_example(stage.folder)
    example = example_arguments(picture, voice)
    url, shard = server_url(stage), shlex.quote(str(stage.volume("multitalk-models") / SHARD))
    operator = stage.client.list("pods", NAMESPACE, "app.kubernetes.io/component=operator")[0]
    return f"""
It stays up until Ctrl-C. In another terminal:

  export KUBECONFIG={shlex.quote(str(stage.kubeconfig))}
  kubectl get modelcaches,pods,jobs
  kubectl get modelcaches --watch
  kubectl describe modelcache multitalk
  kubectl logs deployment/multitalk-modelcache-inference -c init-sync

  curl {url}/readyz
  curl {url}/v1/videos -F prompt='A woman talks' -F steps=2 \\
       {example}
  curl {url}/v1/videos/VIDEO_ID/content -o video.mp4
  curl {url}/metrics
  curl http://{operator["status"]["podIP"]}:8080/metrics

The page for people: {url}/

Damage a file, and have every file hashed again; the cache becomes Ready by a Job that fetches just this one:

  printf x | dd of={shard} bs=1 seek=5000 conv=notrunc
  kubectl annotate modelcache multitalk modelcache.dev/resync=$(date +%s) --overwrite

Or let a new pod find it, which has an address of its own (kubectl get pod -l {SERVING} -o wide):

  kubectl delete pod -l {SERVING}

Everything lies in {stage.folder}.
"""
