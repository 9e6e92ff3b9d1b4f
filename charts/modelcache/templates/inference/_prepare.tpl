{{- /*
  modelcache.prepare.args   of multitalk-server prepare: the models and the type of the server
  modelcache.prepare.dtype  in which the server uses its weights
  modelcache.prepare.spec   of the Job. Jobs do not change, so its hash is in the Job's name: of the image, the manifest, and all else
  modelcache.prepare.name   at most 63 characters, which is what a pod's label takes
*/ -}}

{{- define "modelcache.prepare.dtype" -}}
{{- .Values.inference.settings.dtype | default (gt (int .Values.inference.gpus) 0 | ternary "bfloat16" "float32") -}}
{{- end -}}

{{- define "modelcache.prepare.args" -}}
- prepare
- --spec=/etc/modelcache/modelcache.yaml
- --volume=/models
- {{ printf "--dtype=%s" (include "modelcache.prepare.dtype" .) | quote }}
{{- $settings := pick .Values.inference.settings "baseDir" "wav2vecDir" "audioDir" "logFormat" "logLevel" }}
{{- with .Values.logFormat }}{{ $settings = merge $settings (dict "logFormat" .) }}{{ end }}
{{- range $key, $value := $settings }}
- {{ printf "--%s=%s" (include "modelcache.server.flag" $key) $value | quote }}
{{- end }}
{{- end -}}

{{- define "modelcache.prepare.name" -}}
{{- $hash := printf "%s\n%s" (include "modelcache.cache.spec" .) (include "modelcache.prepare.spec" .) | sha256sum | trunc 8 -}}
{{- printf "%s-prepare-%s" (include "modelcache.fullname" . | trunc 46 | trimSuffix "-") $hash -}}
{{- end -}}

{{- define "modelcache.prepare.spec" -}}
{{- $inference := .Values.inference -}}
{{- $volume := .Values.cache.volume -}}
backoffLimit: 6
{{- if ne (toString $inference.prepare.ttlSecondsAfterFinished) "<nil>" }}
ttlSecondsAfterFinished: {{ int $inference.prepare.ttlSecondsAfterFinished }}
{{- end }}
podFailurePolicy:
  rules:
  - action: FailJob
    onExitCodes: # no retry cures it: too little room, for example
      containerName: prepare
      operator: In
      values: [2]
  - action: Ignore
    onPodConditions:
    - type: DisruptionTarget
      status: "True"
template:
  metadata:
    labels:
      {{- include "modelcache.podLabels" (dict "root" . "component" "prepare") | nindent 6 }}
      modelcache.dev/cache: {{ include "modelcache.cache.name" . | quote }}
    annotations:
      kubectl.kubernetes.io/default-container: prepare
  spec:
    restartPolicy: Never # what podFailurePolicy asks for
    {{- if eq (include "modelcache.cache.gated" .) "true" }}
    schedulingGates: # until the models are complete
    - name: modelcache.dev/complete
    {{- end }}
    serviceAccountName: {{ include "modelcache.inference.account" . | quote }}
    automountServiceAccountToken: false
    enableServiceLinks: false
    {{- with include "modelcache.pullSecrets" . }}
    imagePullSecrets:
      {{- . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- include "modelcache.security" (dict "base" (include "modelcache.podSecurity" .) "over" $inference.podSecurityContext) | nindent 6 }}
    initContainers:
    - {{ include "modelcache.syncContainer" . | nindent 6 | trim }}
    containers:
    - name: prepare
      image: {{ include "modelcache.image" (dict "root" . "image" $inference.image) | quote }}
      imagePullPolicy: {{ $inference.image.pullPolicy }}
      args:
      {{- include "modelcache.prepare.args" . | nindent 6 }}
      env:
      - name: HOME # the root file system is read-only
        value: /tmp
      resources:
        {{- toYaml $inference.prepare.resources | nindent 8 }}
      securityContext:
        {{- include "modelcache.security" (dict "base" (include "modelcache.containerSecurity" .) "over" $inference.containerSecurityContext) | nindent 8 }}
      volumeMounts:
      - name: models
        mountPath: /models
      - name: manifest
        mountPath: /etc/modelcache
        readOnly: true
      - name: tmp
        mountPath: /tmp
    volumes:
    {{- include "modelcache.volumes" . | nindent 4 }}
    - name: tmp
      emptyDir: {}
    {{- /* Where the server can run: a volume of one node must not be held where it cannot. */}}
    {{- with merge (dict) ($inference.nodeSelector | default dict) ($volume.nodeSelector | default dict) }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with concat ($volume.tolerations | default list) ($inference.tolerations | default list) | uniq }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- $nodes := pick ($inference.affinity | default dict) "nodeAffinity" }}
    {{- with merge (dict) (include "modelcache.cache.affinity" (dict "root" . "must" true) | fromYaml) $nodes }}
    affinity:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end -}}
