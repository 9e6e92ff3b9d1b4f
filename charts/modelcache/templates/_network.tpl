{{- /*
Parts of NetworkPolicies. Ports are those of pods: a policy is applied behind a Service, not before it.

  modelcache.egress.dns
  modelcache.egress.hub          the hub, its mirror or a proxy; and peer servers, where sync containers ask any
  modelcache.asksPeers           "true" if sync containers ask peer servers
  modelcache.ingress.operator    the operator asks sync containers for their progress
  modelcache.ingress.metrics     (dict "root" $ "port" 8080)
  modelcache.inferenceToHub      "true" if the init container of a serving pod must be able to sync
*/ -}}

{{- define "modelcache.egress.dns" -}}
- ports:
  {{- range .Values.networkPolicy.dnsPorts }}
  - port: {{ . }}
    protocol: UDP
  - port: {{ . }}
    protocol: TCP
  {{- end }}
  {{- with .Values.networkPolicy.dnsTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "modelcache.hubPorts" -}}
{{- $ports := list 443 -}}
{{- with .Values.sync.endpoint -}}
{{- $port := regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" -}}
{{- $ports = append $ports ($port | default (hasPrefix "http:" . | ternary 80 443) | int) -}}
{{- end -}}
{{- .Values.networkPolicy.hubPorts | default $ports | uniq | toYaml -}}
{{- end -}}

{{- define "modelcache.egress.hub" -}}
- ports:
  {{- range include "modelcache.hubPorts" . | fromYamlArray }}
  - port: {{ . }}
    protocol: TCP
  {{- end }}
  {{- with .Values.networkPolicy.hubTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- else }}
  {{- if not (or .Values.sync.endpoint .Values.networkPolicy.hubPorts) }}
  to: # the public hub: no pod, no Service, no API server with a private address, no metadata
  - ipBlock:
      cidr: 0.0.0.0/0
      except: [10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]
  - ipBlock:
      cidr: ::/0
      except: [fc00::/7, fe80::/10]
  {{- end }}
  {{- end }}
{{- if and (eq (include "modelcache.asksPeers" .) "true") .Values.networkPolicy.peersTo }}
- ports:
  - port: 9465
    protocol: TCP
  to:
    {{- toYaml .Values.networkPolicy.peersTo | nindent 4 }}
{{- end }}
{{- end -}}

{{- /* A Job is told of the server of its own cache; of others by a variable. */ -}}
{{- define "modelcache.asksPeers" -}}
{{- $asks := .Values.cache.peers.enabled -}}
{{- range concat (.Values.sync.env | default list) (.Values.cache.job.env | default list) -}}
{{- if eq .name "MODELCACHE_PEERS" -}}{{- $asks = true -}}{{- end -}}
{{- end -}}
{{- $asks -}}
{{- end -}}

{{- define "modelcache.ingress.operator" -}}
- from:
  - namespaceSelector:
      {{- if .Values.operator.enabled }}
      matchLabels:
        kubernetes.io/metadata.name: {{ include "modelcache.namespace" . | quote }}
      {{- else if .Values.networkPolicy.operatorNamespace }}
      matchLabels:
        kubernetes.io/metadata.name: {{ .Values.networkPolicy.operatorNamespace | quote }}
      {{- else }} {}
      {{- end }}
    podSelector:
      matchLabels:
        app.kubernetes.io/part-of: modelcache
        app.kubernetes.io/component: operator
  ports:
  - port: 9464
    protocol: TCP
{{- end -}}

{{- define "modelcache.ingress.metrics" -}}
{{- with .root.Values.networkPolicy.metricsFrom -}}
- from:
    {{- toYaml . | nindent 4 }}
  ports:
  - port: {{ $.port }}
    protocol: TCP
{{- end }}
{{- end -}}

{{- define "modelcache.inferenceToHub" -}}
{{- $wanted := .Values.networkPolicy.inferenceToHub | toString -}}
{{- eq $wanted "auto" | ternary (ne (include "modelcache.cache.gated" .) "true") (eq $wanted "true") -}}
{{- end -}}
