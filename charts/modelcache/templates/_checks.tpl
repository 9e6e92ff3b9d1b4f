{{- /*
What the schema cannot refuse, or cannot refuse with a cure: combinations, and texts of a certain form. "modelcache.check"
fails with all of them at once.
It is called once, by templates/checks.yaml, which renders nothing.
*/ -}}

{{- define "modelcache.problems" -}}
{{- $cache := .Values.cache -}}
{{- $operator := .Values.operator -}}
{{- $inference := .Values.inference -}}
{{- $name := include "modelcache.cache.name" . -}}
{{- $endpoint := .Values.sync.endpoint | default "" -}}
{{- $chosen := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/part-of" "modelcache.dev/cache" -}}
{{- if and $cache.standalone $operator.enabled }}
- cache.standalone and operator.enabled exclude each other: standalone means no operator. Set operator.enabled=false too, or leave cache.standalone out
{{- end }}
{{- if and $cache.standalone (not $cache.enabled) }}
- cache.standalone needs cache.enabled=true: the chart writes the manifest of the cache that it makes
{{- end }}
{{- if and (eq (include "modelcache.admission.enabled" .) "true") (ne (include "modelcache.admission.known" .) "true") }}
- admission.enabled=true needs MutatingAdmissionPolicy of admissionregistration.k8s.io/v1, as Kubernetes 1.36 has it, and this API server does not. Set auto or false, and write out what pods need (docs/joining.md). For helm template, add --api-versions admissionregistration.k8s.io/v1/MutatingAdmissionPolicy
{{- end }}
{{- if and $operator.allNamespaces $operator.namespaces }}
- operator.allNamespaces and operator.namespaces exclude each other. Give one of them
{{- end }}
{{- if and $operator.enabled $operator.namespaces $cache.enabled (not (has (include "modelcache.namespace" .) $operator.namespaces)) }}
- operator.namespaces leaves out {{ include "modelcache.namespace" . }}, where this release makes a ModelCache that nobody would serve. Add it, or set cache.enabled=false
{{- end }}
{{- if and $inference.enabled (not $cache.enabled) (not $cache.name) }}
- cache.name is needed when cache.enabled=false: say which existing ModelCache the inference server serves, or set inference.enabled=false
{{- end }}
{{- if $cache.peers.enabled }}
{{- if $cache.standalone }}
- cache.peers.enabled and cache.standalone exclude each other: the operator runs the peer server, and standalone means no operator
{{- else if and $operator.enabled (not $operator.peers.enabled) }}
- cache.peers.enabled needs operator.peers.enabled=true, which gives the operator the rights for the peer server
{{- end }}
{{- if and $cache.auth.secretName (not $cache.peers.tokenSecret.name) }}
- cache.peers.enabled with cache.auth.secretName needs cache.peers.tokenSecret.name: without a token of its own, the peer server would give to everybody what the hub gives to your token alone. Name a Secret with a token that you choose
{{- end }}
{{- if has "ReadWriteOncePod" (include "modelcache.cache.accessModes" . | fromYamlArray) }}
- cache.peers.enabled cannot serve a ReadWriteOncePod volume beside the pods that use it. Use ReadWriteMany or ReadWriteOnce in cache.volume.accessModes, or set cache.peers.enabled=false
{{- end }}
{{- end }}
{{- $volume := $cache.volume }}
{{- if $volume.perNode.enabled }}
{{- if $cache.standalone }}
- cache.volume.perNode.enabled and cache.standalone exclude each other: the operator syncs each node's copy, and standalone means no operator
{{- else if and $operator.enabled (not $operator.perNode.enabled) }}
- cache.volume.perNode.enabled needs operator.perNode.enabled=true, which gives the operator the right to see nodes
{{- end }}
{{- if not (kindIs "bool" $cache.job.enabled | ternary $cache.job.enabled true) }}
- cache.volume.perNode.enabled needs sync Jobs: one syncs the copy of each node. Leave out cache.job.enabled=false
{{- end }}
{{- if eq (toString $volume.oneNode) "true" }}
- cache.volume.perNode.enabled and cache.volume.oneNode exclude each other: pods run where a copy is. Leave out cache.volume.oneNode
{{- end }}
{{- range list "nodeSelector" "affinity" "topologySpreadConstraints" }}
{{- if get $cache.job . }}
- cache.job.{{ . }} has no effect with cache.volume.perNode.enabled: a Job runs on each node of cache.volume.nodeSelector. Leave it out
{{- end }}
{{- end }}
{{- if and $volume.existingClaim $volume.perNode.path }}
- cache.volume.existingClaim and cache.volume.perNode.path exclude each other: the volume of that claim has its path already
{{- else if not $volume.existingClaim }}
{{- $path := $volume.perNode.path | default "" }}
{{- if not $path }}
- cache.volume.perNode.path is needed: name the directory that has the copy on each node, such as /mnt/ssd/models
{{- else if or (not (regexMatch "^(/[^/\\s]+)+$" $path)) (regexMatch "/[.][.]?(/|$)" $path) }}
- cache.volume.perNode.path={{ $path }} is no absolute path. Give one such as /mnt/ssd/models, without "." and ".." and without a slash at the end
{{- else if regexMatch "^/(home|media|mnt|opt|srv|tmp|var|var/lib|var/log|var/lib/kubelet(/.*)?|(bin|boot|dev|etc|lib|lib32|lib64|proc|root|run|sbin|sys|usr)(/.*)?)$" $path }}
- cache.volume.perNode.path={{ $path }} belongs to the node's system, and the kubelet changes the group of all that is in it. Give a directory of its own, such as /mnt/ssd/models
{{- end }}
{{- end }}
{{- end }}
{{- $jobs := kindIs "bool" $cache.job.enabled | ternary $cache.job.enabled true }}
{{- range $key, $wanted := dict "cache.volume.size=auto" (eq (include "modelcache.cache.sized" .) "true") "cache.volume.prune" $volume.prune "cache.scrub.every" $cache.scrub.every "cache.updates.check" $cache.updates.check }}
{{- if and $wanted $cache.standalone }}
- {{ $key }} and cache.standalone exclude each other: the operator makes Jobs for it, and standalone means no operator
{{- else if and $wanted (not $jobs) }}
- {{ $key }} needs Jobs of the operator. Leave out cache.job.enabled=false
{{- end }}
{{- end }}
{{- if eq (include "modelcache.cache.sized" .) "true" }}
{{- if $volume.existingClaim }}
- cache.volume.size=auto and cache.volume.existingClaim exclude each other: no claim is made. Leave out the size
{{- end }}
{{- if $volume.perNode.enabled }}
- cache.volume.size=auto and cache.volume.perNode.enabled exclude each other: the volume is as large as the disk of each node. Give a size
{{- end }}
{{- if $volume.annotations }}
- cache.volume.annotations have no effect with cache.volume.size=auto: the operator makes the claim. Leave them out, or give a size
{{- end }}
{{- if eq (toString $volume.storageClassName) "-" }}
- cache.volume.storageClassName=- cannot be with cache.volume.size=auto: a volume made by hand has its size. Name a class, or give a size
{{- end }}
{{- if not (regexMatch "^([0-9]{1,3}%)?$" ($volume.headroom | default "")) }}
- cache.volume.headroom={{ $volume.headroom }} is no share. Give a whole number of percent, such as 10%, or leave it empty
{{- end }}
{{- else if $volume.headroom }}
- cache.volume.headroom has no effect on a size that is given. Set cache.volume.size=auto, or leave it empty
{{- end }}
{{- $fullname := include "modelcache.fullname" . }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) }}
- names of objects would begin with {{ $fullname }}; they take lower-case letters, digits and '-', and a letter first. Change {{ empty .Values.fullnameOverride | ternary "nameOverride" "fullnameOverride" }}
{{- end }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" $name) }}
- the cache would be called {{ $name }}{{ if not $cache.name }}, as the release is{{ end }}; a ModelCache takes lower-case letters, digits and '-' only. {{ if $cache.name }}Change{{ else }}Set{{ end }} cache.name
{{- end }}
{{- if and $cache.volume.existingClaim $cache.volume.claimName }}
- cache.volume.existingClaim and cache.volume.claimName exclude each other: the first is used as it is, the second is made
{{- end }}
{{- if and $inference.enabled (gt (int $inference.replicas) 1) (has "ReadWriteOncePod" (include "modelcache.cache.accessModes" . | fromYamlArray)) }}
- inference.replicas={{ $inference.replicas }} cannot share a ReadWriteOncePod volume. Use ReadWriteMany (ReadWriteOnce on one node) in cache.volume.accessModes, or one replica
{{- end }}
{{- if and $inference.enabled $inference.scratchClaim (or (ne (toString $inference.replicas) "1") (ne (include "modelcache.server.strategy" .) "Recreate")) }}
- inference.scratchClaim is for one server at a time: two pods cannot share it. Set inference.replicas=1 and inference.strategy=Recreate
{{- end }}
{{- if and $inference.enabled (lt (include "modelcache.server.graceS" . | int) 0) }}
- inference.terminationGracePeriodSeconds={{ $inference.terminationGracePeriodSeconds }} is too short for preStopSeconds, lingerS and the 10 s that closing takes. Raise it to {{ sub $inference.terminationGracePeriodSeconds (include "modelcache.server.graceS" . | int) }} at least
{{- end }}
{{- if and $inference.enabled $inference.prepare.enabled }}
{{- if eq (include "modelcache.prepare.dtype" .) "float32" }}
- inference.prepare.enabled has no use here: the server takes the weights as float32, as they are stored. Leave it out, or set inference.settings.dtype=bfloat16
{{- end }}
{{- if $inference.settings.lora }}
- inference.prepare.enabled and inference.settings.lora exclude each other: LoRA files are merged into the stored weights, so the copy would not be taken. Leave one of them out
{{- end }}
{{- if $volume.perNode.enabled }}
- inference.prepare.enabled and cache.volume.perNode.enabled exclude each other: one Job reaches the disk of one node. Run multitalk-server prepare on each of them (docs/inference.md#a-faster-start)
{{- end }}
{{- if has "ReadWriteOncePod" (include "modelcache.cache.accessModes" . | fromYamlArray) }}
- inference.prepare.enabled needs a volume that Job and server can mount at once, and this one is ReadWriteOncePod. Use ReadWriteMany or ReadWriteOnce in cache.volume.accessModes
{{- end }}
{{- end }}
{{- range $key, $span := dict "cache.gate.leadTime" $cache.gate.leadTime "cache.scrub.every" $cache.scrub.every "cache.updates.check" $cache.updates.check }}
{{- if not (regexMatch "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$" $span) }}
- {{ $key }}={{ $span }} is no duration. Give one such as {{ eq $key "cache.gate.leadTime" | ternary "3m or 1m30s" "24h or 168h" }}, or leave it empty
{{- end }}
{{- end }}
{{- range $key, $image := dict "operator" $operator.image "sync" .Values.sync.image "inference" $inference.image }}
{{- if not (regexMatch "^(sha256:[0-9a-f]{64})?$" ($image.digest | default "")) }}
- {{ $key }}.image.digest={{ $image.digest }} is no digest. Give sha256: and 64 hexadecimal digits, or leave it empty and set the tag
{{- end }}
{{- end }}
{{- if hasKey $inference.gpu "count" }}
- inference.gpu.count={{ $inference.gpu.count }} is inference.gpus now: the GPUs of a pod make one video together. Set that
{{- end }}
{{- if and (gt (int $inference.gpus) 1) (contains "/mig-" $inference.gpu.resourceName) }}
- inference.gpus={{ $inference.gpus }} with {{ $inference.gpu.resourceName }}: a process sees one part of a GPU only, whatever the pod has. Set inference.gpus=1, or ask for whole GPUs in inference.gpu.resourceName
{{- end }}
{{- range $key, $size := dict "cache.volume.size" ($cache.volume.size | default "") "inference.shmSize" (include "modelcache.server.shmSize" $ | default "1Gi") "cache.scrub.rate" ($cache.scrub.rate | default "") }}
{{- if not (or (and (eq $key "cache.volume.size") (eq $size "auto")) (and (regexMatch "^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?$" $size) (regexMatch "[1-9]" $size))) }}
- {{ $key }}={{ $size }} is no size. Give a number above zero and a unit without a space between, such as 120Gi
{{- end }}
{{- end }}
{{- if not (regexMatch "^(https?://[^/\\s]+[^\\s]*)?$" $endpoint) }}
- sync.endpoint={{ $endpoint }} is no URL of a hub. Give one such as http://mirror.example:8080, or leave it empty
{{- else if gt (regexFind ":[0-9]+(/|$)" $endpoint | trimAll ":/" | int) 65535 }}
- sync.endpoint={{ $endpoint }} has a port above 65535. Correct it
{{- end }}
{{- if regexMatch "^https?://[^/]*@" $endpoint }}
- sync.endpoint holds a user or password, and everybody can read it there. Leave them out, and put a token into the Secret of cache.auth.secretName
{{- end }}
{{- if and .Values.sync.caBundle.configMapName .Values.sync.caBundle.secretName }}
- sync.caBundle.configMapName and sync.caBundle.secretName exclude each other. Give one of them
{{- end }}
{{- range .Values.sync.extraVolumes }}
{{- if has .name (list "models" "manifest" "tmp" "ca-bundle") }}
- sync.extraVolumes: {{ .name }} is a volume of the sync container's own. Use another name
{{- end }}
{{- end }}
{{- range $key, $registry := dict "imageRegistry" .Values.imageRegistry "global.imageRegistry" (.Values.global).imageRegistry }}
{{- if contains "://" ($registry | default "") }}
- {{ $key }}={{ $registry }} is a URL, and images are named without a scheme. Leave out what is before ://, and :// too
{{- end }}
{{- end }}
{{- $own := list "affinity" "automountServiceAccountToken" "containers" "enableServiceLinks" "imagePullSecrets" "initContainers" "nodeSelector" "priorityClassName" "securityContext" "serviceAccountName" "tolerations" "topologySpreadConstraints" "volumes" }}
{{- $servers := concat $own (list "runtimeClassName" "schedulingGates" "terminationGracePeriodSeconds") }}
{{- range $key, $fields := dict "operator" $own "inference" $servers }}
{{- range $field, $_ := (get $.Values $key).extraPodSpec }}
{{- if has $field $fields }}
- {{ $key }}.extraPodSpec.{{ $field }} is a field that the chart sets. Use the value of {{ $key }} that is made for it
{{- end }}
{{- end }}
{{- end }}
{{- $service := $inference.service }}
{{- if and $service.nodePort (eq $service.type "ClusterIP") }}
- inference.service.nodePort={{ $service.nodePort }} needs the type NodePort or LoadBalancer. Set inference.service.type
{{- end }}
{{- if and $service.loadBalancerSourceRanges (ne $service.type "LoadBalancer") }}
- inference.service.loadBalancerSourceRanges needs the type LoadBalancer. Set inference.service.type, or limit clients by networkPolicy.inferenceFrom
{{- end }}
{{- range $key, $labels := dict "commonLabels" .Values.commonLabels "operator.podLabels" $operator.podLabels "inference.podLabels" $inference.podLabels }}
{{- range $label, $value := $labels | default dict }}
{{- if not (regexMatch "^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" $label) }}
- {{ $key }}: {{ quote $label }} is no name of a label. Use letters, digits, '-', '_' and '.', at most 63, after a domain and '/' if need be
{{- else if has $label $chosen }}
- {{ $key }}: {{ $label }} is the chart's own label, by which objects find each other. Use another name
{{- end }}
{{- if not (regexMatch "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$" $value) }}
- {{ $key }}: {{ quote $value }}, the value of {{ $label }}, is no value of a label. Use letters, digits, '-', '_' and '.', at most 63
{{- end }}
{{- end }}
{{- end }}
{{- range $key, $list := dict "sync.env" .Values.sync.env "cache.job.env" ($cache.job.env | default list) }}
{{- range $list }}
{{- if and (eq .name "HF_TOKEN") .value }}
- {{ $key }} holds the token itself, where everybody can read it. Put it into a Secret and name that in cache.auth.secretName
{{- end }}
{{- if and (eq .name "SSL_CERT_FILE") (eq $key "sync.env") (include "modelcache.sync.ca" $) }}
- sync.env sets SSL_CERT_FILE, and so does sync.caBundle. Use one of them
{{- end }}
{{- if and (eq .name "HF_ENDPOINT") $.Values.sync.endpoint }}
- {{ $key }} sets HF_ENDPOINT, and so does sync.endpoint. Use one of them
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "modelcache.check" -}}
{{- with include "modelcache.problems" . | trim -}}
{{- fail (printf "these values cannot work:\n%s" .) -}}
{{- end -}}
{{- end -}}

{{- /* Those of a namespace, or "" for all: a list of {instance, args}. */ -}}
{{- define "modelcache.operators" -}}
{{- $found := list -}}
{{- range (lookup "apps/v1" "Deployment" .namespace "").items -}}
{{- $labels := .metadata.labels | default dict -}}
{{- if and (eq (get $labels "app.kubernetes.io/part-of") "modelcache") (eq (get $labels "app.kubernetes.io/component") "operator") -}}
{{- $container := first .spec.template.spec.containers -}}
{{- $found = append $found (dict "instance" (get $labels "app.kubernetes.io/instance") "args" ($container.args | default list)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{- /* Chart version of the definition in the cluster; 0.1.0 did not say it. */ -}}
{{- define "modelcache.definition" -}}
{{- with lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "modelcaches.modelcache.dev" -}}
{{- get (.metadata.annotations | default dict) "modelcache.dev/chart-version" | default "0.1.0" -}}
{{- end -}}
{{- end -}}

{{- /* "true" if a Job without a GPU may bind a volume of one zone or node, and nothing keeps it where the GPUs are. */ -}}
{{- define "modelcache.cache.misplaced" -}}
{{- $volume := .Values.cache.volume -}}
{{- $job := include "modelcache.cache.job" . | fromYaml -}}
{{- $placed := or (omit ($job.nodeSelector | default dict) "kubernetes.io/os") ($job.affinity).nodeAffinity -}}
{{- $claim := lookup "v1" "PersistentVolumeClaim" (include "modelcache.namespace" .) (include "modelcache.cache.claim" .) -}}
{{- $bound := eq (($claim.status).phase | default "") "Bound" -}}
{{- $gpu := and .Values.inference.enabled (gt (int .Values.inference.gpus) 0) -}}
{{- $binds := and .Values.cache.enabled (not $volume.existingClaim) (eq (include "modelcache.cache.gated" .) "true") (ne (include "modelcache.cache.shared" .) "true") -}}
{{- and $gpu $binds (not $placed) (not $bound) -}}
{{- end -}}

{{- /*
What works and may still not be meant, a list; NOTES.txt prints it. A lookup that is forbidden would end the installation.
So beyond the release's namespace only those look who have just written the definition ("crds.install").
*/ -}}
{{- define "modelcache.warnings" -}}
{{- $warnings := list -}}
{{- $namespace := include "modelcache.namespace" . -}}
{{- $cluster := and .Values.crds.install (not (empty (lookup "v1" "Namespace" "" "default"))) -}}
{{- if .Values.operator.enabled -}}
{{- range include "modelcache.operators" (dict "namespace" $namespace) | fromYamlArray -}}
{{- if ne .instance $.Release.Name -}}
{{- $warnings = append $warnings (printf "release %s has an operator in this namespace already. The two share a Lease: one works, the other waits and never gets ready. Set operator.enabled=false here" .instance) -}}
{{- end -}}
{{- end -}}
{{- else if and (not .Values.cache.enabled) .Values.inference.enabled (include "modelcache.sync.env" . | trim) -}}
{{- $warnings = append $warnings (printf "sync.endpoint, sync.env and sync.caBundle reach the init container of this release alone. The Jobs of ModelCache %s have them from its spec.sync.job, and from the release that installed its operator" (include "modelcache.cache.name" .)) -}}
{{- else if and $cluster .Values.cache.enabled (not .Values.cache.standalone) -}}
{{- $serving := list -}}
{{- range include "modelcache.operators" (dict "namespace" "") | fromYamlArray -}}
{{- if or (has "--all-namespaces" .args) (has (printf "--namespace=%s" $namespace) .args) -}}{{- $serving = append $serving .instance -}}{{- end -}}
{{- end -}}
{{- if not $serving -}}
{{- $warnings = append $warnings (printf "operator.enabled=false, and no operator serves namespace %s: nothing syncs, and pods wait at the gate. Install one, or set operator.enabled=true" $namespace) -}}
{{- end -}}
{{- end -}}
{{- $definition := "" -}}
{{- if $cluster }}{{ $definition = include "modelcache.definition" . }}{{ end -}}
{{- if and $definition (semverCompare (printf "<%s" .Chart.Version) $definition) -}}
{{- $warnings = append $warnings (printf "the definition in the cluster is of chart version %s: the API server drops what %s added to it. Apply this chart's, as said above" $definition .Chart.Version) -}}
{{- end -}}
{{- if eq (include "modelcache.cache.misplaced" .) "true" -}}
{{- $warnings = append $warnings (printf "nothing says where your GPUs are. Claim %s is bound to the zone or node of its first pod, the sync Job, which asks for none: perhaps where the server can never run. Set cache.volume.nodeSelector to labels of nodes with GPUs" (include "modelcache.cache.claim" .)) -}}
{{- end -}}
{{- if and .Values.cache.gate.leadTime (ne (include "modelcache.cache.shared" .) "true") -}}
{{- $warnings = append $warnings "cache.gate.leadTime has no effect on pods that may get another node than the sync: only one node can mount the volume. Use ReadWriteMany in cache.volume.accessModes" -}}
{{- end -}}
{{- if not (or .Values.operator.enabled .Values.inference.enabled) -}}
{{- if or .Values.sync.image.tag .Values.sync.image.digest -}}
{{- $warnings = append $warnings "sync.image has no effect here: the release that installed the operator chooses the image of sync Jobs" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.inference.enabled (eq (int .Values.inference.gpus) 0) -}}
{{- $warnings = append $warnings "inference.gpus=0: the server runs on the CPU. That is for small checkpoints" -}}
{{- end -}}
{{- if and .Values.inference.enabled .Values.inference.pdb.enabled (eq (int .Values.inference.replicas) 1) (eq (toString .Values.inference.pdb.maxUnavailable) "0") -}}
{{- $warnings = append $warnings "inference.pdb allows no pod to be away, and there is one: its node cannot be drained" -}}
{{- end -}}
{{- toYaml $warnings -}}
{{- end -}}
