{{- /*
What the values say about the cache, worked out once.

  modelcache.cache.name        name of the ModelCache that this release makes or serves
  modelcache.cache.claim       claim with the models
  modelcache.cache.volume      PersistentVolume of the copies on nodes; it is cluster-wide
  modelcache.cache.manifest    ConfigMap with the manifest: NAME-modelcache, as the operator calls it
  modelcache.cache.accessModes  of the claim
  modelcache.cache.class         storageClassName of the claim, as a line, or nothing: the cluster's default
  modelcache.cache.sized       "true" if the operator asks how large the claim must be, and makes it
  modelcache.cache.shared      "true" if several nodes can mount the volume
  modelcache.cache.gated       "true" if serving pods wait at the gate: a Job proves the cache before they start
  modelcache.cache.affinity    (dict "root" $ "must" true)  pod affinity to the other pods of the cache, or nothing
  modelcache.cache.spec        spec of the manifest, but for what only an operator does
  modelcache.cache.job         spec.sync.job of the ModelCache
  modelcache.cache.placed      what of the server's placement the Job takes over, or nothing
  modelcache.cache.podSecurity (dict "root" $ "defaultUser" true)  security context of sync Jobs
  modelcache.sync.job            what sync Jobs of all caches have in common, in the shape of spec.sync.job
  modelcache.sync.env            variables of a sync container, but for the token
  modelcache.sync.ca             ConfigMap or Secret with certificate authorities, or nothing
  modelcache.sync.volumes        more volumes of its pod
  modelcache.sync.mounts         more mounts of it
*/ -}}

{{- define "modelcache.cache.name" -}}
{{- .Values.cache.name | default (.Release.Name | replace "." "-") -}}
{{- end -}}

{{- define "modelcache.cache.claim" -}}
{{- $volume := .Values.cache.volume -}}
{{- $volume.existingClaim | default $volume.claimName | default (printf "%s-models" (include "modelcache.cache.name" .)) -}}
{{- end -}}

{{- define "modelcache.cache.manifest" -}}
{{- include "modelcache.cache.name" . }}-modelcache
{{- end -}}

{{- define "modelcache.cache.volume" -}}
{{ include "modelcache.namespace" . }}.{{ include "modelcache.cache.claim" . }}
{{- end -}}

{{- define "modelcache.cache.accessModes" -}}
{{- .Values.cache.volume.perNode.enabled | ternary (list "ReadWriteMany") .Values.cache.volume.accessModes | toYaml -}}
{{- end -}}

{{- define "modelcache.cache.class" -}}
{{- $volume := .Values.cache.volume -}}
{{- with $volume.storageClassName | default ($volume.perNode.enabled | ternary "-" "") -}}
storageClassName: {{ eq . "-" | ternary "" . | quote }}
{{- end -}}
{{- end -}}

{{- define "modelcache.cache.sized" -}}
{{- eq (toString .Values.cache.volume.size) "auto" -}}
{{- end -}}

{{- define "modelcache.cache.shared" -}}
{{- has "ReadWriteMany" (include "modelcache.cache.accessModes" . | fromYamlArray) -}}
{{- end -}}

{{- define "modelcache.cache.gated" -}}
{{- $job := .Values.cache.job.enabled -}}
{{- and (not .Values.cache.standalone) (kindIs "bool" $job | ternary $job true) -}}
{{- end -}}

{{- /*
Kubernetes lets the first pod of such a group go anywhere, though none is there to be near to, and all others follow it. Pods
at the gate are on no node yet and do not count. A Job must follow, or it would wait for a volume that is mounted
elsewhere. A single server only prefers to: on a node that was lost, its predecessor may stay in the list for ever.
*/ -}}
{{- define "modelcache.cache.affinity" -}}
{{- $wanted := .root.Values.cache.volume.oneNode | toString -}}
{{- if eq $wanted "auto" | ternary (ne (include "modelcache.cache.shared" .root) "true") (eq $wanted "true") -}}
{{- $labels := dict "modelcache.dev/cache" (include "modelcache.cache.name" .root) -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $labels) -}}
{{- if .must -}}
{{- dict "podAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) | toYaml -}}
{{- else -}}
{{- $preferred := dict "weight" 100 "podAffinityTerm" $term -}}
{{- dict "podAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list $preferred)) | toYaml -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "modelcache.cache.spec" -}}
volume:
  claimName: {{ include "modelcache.cache.claim" . | quote }}
  {{- if eq (include "modelcache.cache.sized" .) "true" }}
  create:
    size: auto
    {{- with .Values.cache.volume.headroom }}
    headroom: {{ . | quote }}
    {{- end }}
    accessModes:
      {{- include "modelcache.cache.accessModes" . | nindent 6 }}
    {{- with include "modelcache.cache.class" . }}
    {{- . | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- with .Values.cache.volume }}
  {{- if .prune }}
  prune: true
  {{- end }}
  {{- if .perNode.enabled }}
  perNode:
    maxParallel: {{ .perNode.maxParallel }}
    {{- with .nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .tolerations }}
    tolerations:
      {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- end }}
allowPickles: {{ .Values.cache.allowPickles }}
models:
{{ toYaml .Values.cache.models }}
{{- with .Values.cache.auth }}
{{- if .secretName }}
auth:
  secretName: {{ .secretName | quote }}
  key: {{ .key | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "modelcache.sync.env" -}}
{{- with .Values.sync.endpoint }}
- name: HF_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- if include "modelcache.sync.ca" . }}
- name: SSL_CERT_FILE
  value: /etc/modelcache-ca/ca.crt
{{- end }}
{{- with .Values.sync.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "modelcache.sync.ca" -}}
{{- .Values.sync.caBundle.configMapName | default .Values.sync.caBundle.secretName -}}
{{- end -}}

{{- define "modelcache.sync.volumes" -}}
{{- $ca := .Values.sync.caBundle -}}
{{- $items := list (dict "key" $ca.key "path" "ca.crt") -}}
{{- if $ca.configMapName -}}
{{- list (dict "name" "ca-bundle" "configMap" (dict "name" $ca.configMapName "items" $items)) | toYaml }}
{{- else if $ca.secretName -}}
{{- list (dict "name" "ca-bundle" "secret" (dict "secretName" $ca.secretName "items" $items)) | toYaml }}
{{- end }}
{{- with .Values.sync.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "modelcache.sync.mounts" -}}
{{- if include "modelcache.sync.ca" . -}}
- name: ca-bundle
  mountPath: /etc/modelcache-ca
  readOnly: true
{{- end }}
{{- with .Values.sync.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /*
A null takes the operator's default for one field away, but is lost where a manifest is applied by a client. So
"runAsDefaultUser: false" says it in words.
*/ -}}
{{- define "modelcache.cache.podSecurity" -}}
{{- $security := deepCopy .root.Values.podSecurityContext -}}
{{- range list "runAsUser" "runAsGroup" "fsGroup" -}}
{{- if not $.defaultUser -}}{{- $_ := unset $security . -}}
{{- else if not (hasKey $security .) -}}{{- $_ := set $security . nil -}}{{- end -}}
{{- end -}}
{{- toYaml $security -}}
{{- end -}}

{{- /*
A volume that one node or zone holds is bound where the first sync Job runs, and later Jobs must come to the server. So the
Job runs where the server can. What cache.job says itself stays as it is.
*/ -}}
{{- define "modelcache.cache.placed" -}}
{{- $inference := .Values.inference -}}
{{- if and $inference.enabled (ne (include "modelcache.cache.shared" .) "true") -}}
{{- $nodes := pick ($inference.affinity | default dict) "nodeAffinity" -}}
{{- $placed := dict "nodeSelector" $inference.nodeSelector "tolerations" $inference.tolerations "affinity" $nodes -}}
{{- range $key, $value := $placed -}}
{{- if or (not $value) (get $.Values.cache.job $key) -}}{{- $_ := unset $placed $key -}}{{- end -}}
{{- end -}}
{{- toYaml $placed -}}
{{- end -}}
{{- end -}}

{{- define "modelcache.sync.job" -}}
{{- $defaultUser := ne (toString .Values.runAsDefaultUser) "false" -}}
{{- $job := dict
      "imagePullPolicy" .Values.sync.image.pullPolicy
      "imagePullSecrets" (include "modelcache.pullSecrets" . | fromYamlArray)
      "resources" .Values.sync.resources
      "podSecurityContext" (include "modelcache.cache.podSecurity" (dict "root" . "defaultUser" $defaultUser) | fromYaml)
      "env" (include "modelcache.sync.env" . | fromYamlArray)
      "volumes" (include "modelcache.sync.volumes" . | fromYamlArray)
      "volumeMounts" (include "modelcache.sync.mounts" . | fromYamlArray)
      "logFormat" (.Values.sync.logFormat | default .Values.logFormat)
      "labels" .Values.commonLabels
-}}
{{- if .Values.monitoring.scrapeAnnotations -}}
{{- $_ := set $job "annotations" (include "modelcache.scrapeAnnotations" (dict "port" 9464) | fromYaml) -}}
{{- end -}}
{{- if not $defaultUser -}}{{- $_ := set $job "runAsDefaultUser" false -}}{{- end -}}
{{- include "modelcache.cache.set" $job -}}
{{- end -}}

{{- /* What is set in a spec.sync.job: empty texts, lists and mappings are left out. */ -}}
{{- define "modelcache.cache.set" -}}
{{- range $key, $value := deepCopy . -}}
{{- if and (not $value) (kindIs "bool" $value | not) (kindIs "float64" $value | not) -}}{{- $_ := unset $ $key -}}{{- end -}}
{{- end -}}
{{- toYaml . -}}
{{- end -}}

{{- /* An operator of this release has what all Jobs have in common from its defaults; another one has it from here. */ -}}
{{- define "modelcache.cache.job" -}}
{{- $volume := .Values.cache.volume -}}
{{- $given := .Values.cache.job -}}
{{- $shared := .Values.operator.enabled | ternary (dict) (include "modelcache.sync.job" . | fromYaml) -}}
{{- $placed := include "modelcache.cache.placed" . | fromYaml -}}
{{- $affinity := merge (dict) (include "modelcache.cache.affinity" (dict "root" . "must" true) | fromYaml) ($placed.affinity | default dict) -}}
{{- $job := merge (dict) $given (dict "affinity" $affinity) $shared -}}
{{- /* Of two mappings, a half may be the cache's own; the operator takes each as a whole. */ -}}
{{- with $given.resources -}}{{- $_ := set $job "resources" (merge (dict) . ($.Values.sync.resources | default dict)) -}}{{- end -}}
{{- if or $given.podSecurityContext (kindIs "bool" $given.runAsDefaultUser) -}}
{{- $defaultUser := kindIs "bool" $given.runAsDefaultUser | ternary $given.runAsDefaultUser (ne (toString .Values.runAsDefaultUser) "false") -}}
{{- $security := include "modelcache.cache.podSecurity" (dict "root" . "defaultUser" $defaultUser) | fromYaml -}}
{{- $_ := set $job "podSecurityContext" (merge (dict) ($given.podSecurityContext | default dict) $security) -}}
{{- end -}}
{{- if not $volume.perNode.enabled -}}{{- /* which says itself where its Jobs run */ -}}
{{- $_ := set $job "nodeSelector" (merge (dict) ($given.nodeSelector | default $placed.nodeSelector | default dict) ($volume.nodeSelector | default dict)) -}}
{{- $_ := set $job "tolerations" (concat ($volume.tolerations | default list) ($given.tolerations | default $placed.tolerations | default list) | uniq) -}}
{{- end -}}
{{- range $key := list "env" "volumes" "volumeMounts" -}}
{{- $_ := set $job $key (concat (index $shared $key | default list) (index $given $key | default list)) -}}
{{- end -}}
{{- include "modelcache.cache.set" $job -}}
{{- end -}}
