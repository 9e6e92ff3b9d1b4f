{{- /*
Parts that pods have in common. "image" is one of the image values.

  modelcache.image               (dict "root" $ "image" .Values.operator.image)
  modelcache.pullSecrets         of every pod, those of a parent chart first
  modelcache.podSecurity         security context of a pod
  modelcache.containerSecurity   what Pod Security "restricted" asks of a container, and a read-only root
  modelcache.security            (dict "base" (include "modelcache.podSecurity" $) "over" .Values.operator.podSecurityContext)
  modelcache.scrapeAnnotations   (dict "port" 8080)
  modelcache.monitored           (dict "root" $ "monitor" .Values.monitoring.podMonitor "kind" "PodMonitor")  "true" or "false"
  modelcache.syncContainer       the init container that verifies the volume, and repairs it if it may
  modelcache.volumes             models and manifest, as both containers of a serving pod mount them
*/ -}}

{{- define "modelcache.image" -}}
{{- $registry := (.root.Values.global).imageRegistry | default .root.Values.imageRegistry -}}
{{- $repository := list $registry .image.repository | compact | join "/" -}}
{{- if .image.digest -}}
{{ $repository }}@{{ .image.digest }}
{{- else -}}
{{ $repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* A parent chart may list names alone. */ -}}
{{- define "modelcache.pullSecrets" -}}
{{- $secrets := list -}}
{{- range concat ((.Values.global).imagePullSecrets | default list) (.Values.imagePullSecrets | default list) -}}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- with $secrets }}{{ uniq . | toYaml }}{{ end -}}
{{- end -}}

{{- define "modelcache.podSecurity" -}}
{{- if eq (toString .Values.runAsDefaultUser) "false" -}}
{{- omit .Values.podSecurityContext "runAsUser" "runAsGroup" "fsGroup" | toYaml -}}
{{- else -}}
{{- toYaml .Values.podSecurityContext -}}
{{- end -}}
{{- end -}}

{{- define "modelcache.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* Not by merge, which takes false for nothing. */ -}}
{{- define "modelcache.security" -}}
{{- $security := .base | fromYaml -}}
{{- range $key, $value := .over -}}
{{- $_ := set $security $key $value -}}
{{- end -}}
{{- toYaml $security -}}
{{- end -}}

{{- define "modelcache.aggregated" -}}
{{- $wanted := .Values.rbac.aggregate | toString -}}
{{- eq $wanted "auto" | ternary .Values.crds.install (eq $wanted "true") -}}
{{- end -}}

{{- define "modelcache.scrapeAnnotations" -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ .port | quote }}
prometheus.io/path: /metrics
{{- end -}}

{{- define "modelcache.monitored" -}}
{{- $wanted := .monitor.enabled | toString -}}
{{- $known := .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) -}}
{{- eq $wanted "auto" | ternary $known (eq $wanted "true") -}}
{{- end -}}

{{- define "modelcache.syncContainer.env" -}}
{{- if .Values.cache.auth.secretName }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .Values.cache.auth.secretName | quote }}
      key: {{ .Values.cache.auth.key | quote }}
{{- end }}
{{- include "modelcache.sync.env" . }}
{{- end -}}

{{- define "modelcache.syncContainer" -}}
name: init-sync # the operator knows the sync container by this name
image: {{ include "modelcache.image" (dict "root" . "image" .Values.sync.image) | quote }}
imagePullPolicy: {{ .Values.sync.image.pullPolicy }}
args: [sync, --spec, /etc/modelcache/modelcache.yaml, --volume, /models, --metrics-port, "9464"{{ with .Values.sync.logFormat | default .Values.logFormat }}, --log-format, {{ . }}{{ end }}]
{{- with include "modelcache.syncContainer.env" . }}
env:
{{- . }}
{{- end }}
ports:
- name: sync-metrics
  containerPort: 9464
resources:
  {{- toYaml .Values.sync.resources | nindent 2 }}
securityContext:
  {{- include "modelcache.containerSecurity" . | nindent 2 }}
volumeMounts:
- name: models
  mountPath: /models
- name: manifest
  mountPath: /etc/modelcache
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- with include "modelcache.sync.mounts" . | trim }}
{{ . }}
{{- end }}
{{- end -}}

{{- define "modelcache.volumes" -}}
- name: models
  persistentVolumeClaim:
    claimName: {{ include "modelcache.cache.claim" . | quote }}
- name: manifest
  configMap:
    name: {{ include "modelcache.cache.manifest" . | quote }}
{{- with include "modelcache.sync.volumes" . | trim }}
{{ . }}
{{- end }}
{{- end -}}
