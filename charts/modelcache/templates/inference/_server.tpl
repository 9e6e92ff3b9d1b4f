{{- /*
  modelcache.server.strategy   Recreate or RollingUpdate
  modelcache.server.graceS     seconds that the running video has after SIGTERM: what the other waits leave
  modelcache.server.hosts      names under which clients ask: those of the Service, and the user's
  modelcache.server.args       of multitalk-server
  modelcache.server.shmSize    of /dev/shm
*/ -}}

{{- define "modelcache.server.strategy" -}}
{{- $auto := eq (include "modelcache.cache.shared" .) "true" | ternary "RollingUpdate" "Recreate" -}}
{{- eq .Values.inference.strategy "auto" | ternary $auto .Values.inference.strategy -}}
{{- end -}}

{{- define "modelcache.server.graceS" -}}
{{- $inference := .Values.inference -}}
{{- $linger := $inference.settings.lingerS | default 20 | int -}}
{{- sub $inference.terminationGracePeriodSeconds (add $inference.preStopSeconds $linger 10) -}}
{{- end -}}

{{- define "modelcache.server.hosts" -}}
{{- $name := include "modelcache.inference.name" . -}}
{{- $local := printf "%s.%s" $name (include "modelcache.namespace" .) -}}
{{- $service := list $name $local (printf "%s.svc" $local) (printf "%s.svc.cluster.local" $local) -}}
{{- concat $service (.Values.inference.allowedHosts | default list) | join "," -}}
{{- end -}}

{{- define "modelcache.server.args" -}}
- --spec=/etc/modelcache/modelcache.yaml
- --volume=/models
- --port=8000
- {{ printf "--allowed-hosts=%s" (include "modelcache.server.hosts" .) | quote }}
{{- if .Values.inference.apiKeySecret.name }}
- --api-key-file=/etc/multitalk/keys
{{- end }}
- --scratch=/scratch/multitalk
- --scratch-gib={{ .Values.inference.scratchGib }}
- --grace-s={{ include "modelcache.server.graceS" . }}
{{- $settings := merge (dict) .Values.inference.settings (dict "device" (gt (int .Values.inference.gpus) 0 | ternary "cuda" "cpu")) }}
{{- if gt (int .Values.inference.gpus) 1 }}{{ $settings = merge $settings (dict "gpus" .Values.inference.gpus) }}{{ end }}
{{- with .Values.logFormat }}{{ $settings = merge $settings (dict "logFormat" .) }}{{ end }}
{{- range $key, $value := $settings }}
{{- if kindIs "bool" $value }}
- --{{ $value | ternary "" "no-" }}{{ include "modelcache.server.flag" $key }}
{{- else }}
- {{ printf "--%s=%s" (include "modelcache.server.flag" $key) (include "modelcache.server.text" $value) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* A GPU is a limit; Kubernetes takes the request from it. */ -}}
{{- define "modelcache.server.resources" -}}
{{- $resources := deepCopy .Values.inference.resources -}}
{{- $gpus := int .Values.inference.gpus -}}
{{- if gt $gpus 0 -}}
{{- $resources = merge (dict "limits" (dict .Values.inference.gpu.resourceName $gpus)) $resources -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "modelcache.server.shmSize" -}}
{{- $auto := printf "%dGi" (max 1 (int .Values.inference.gpus)) -}}
{{- eq .Values.inference.shmSize "auto" | ternary $auto .Values.inference.shmSize -}}
{{- end -}}

{{- /* A value as a flag has it; whole numbers are floats to Helm, and the large ones would come as 1e+06. */ -}}
{{- define "modelcache.server.text" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- /* wav2vecDir is wav2vec-dir; kebabcase would make it wav-2-vec-dir. */ -}}
{{- define "modelcache.server.flag" -}}
{{- regexReplaceAll "[A-Z]" . "-${0}" | lower -}}
{{- end -}}
