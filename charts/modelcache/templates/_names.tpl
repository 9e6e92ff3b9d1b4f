{{- /*
Names and labels of every object, so that a rename has one place. All are called with the root context.

  modelcache.fullname            RELEASE-modelcache, or RELEASE if that contains the chart's name
  modelcache.operator.name       FULLNAME-operator: Deployment and all that belongs to it
  modelcache.operator.account    its service account
  modelcache.operator.clusterName  of its ClusterRole and admission policy: two releases of one name may live in two namespaces
  modelcache.inference.name      FULLNAME-inference: Deployment, Service, ...
  modelcache.labels              (dict "root" $ "component" "operator")  labels of an object
  modelcache.podLabels           (the same)  of a pod: without versions, or every upgrade would restart it
  modelcache.selector            (the same)  labels that never change, for selectors
*/ -}}

{{- define "modelcache.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "modelcache.fullname" -}}
{{- $name := include "modelcache.name" . -}}
{{- $default := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- .Values.fullnameOverride | default $default | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- define "modelcache.operator.name" -}}
{{- include "modelcache.fullname" . }}-operator
{{- end -}}

{{- define "modelcache.operator.account" -}}
{{- $account := .Values.operator.serviceAccount -}}
{{- $account.name | default ($account.create | ternary (include "modelcache.operator.name" .) "default") -}}
{{- end -}}

{{- define "modelcache.operator.clusterName" -}}
{{- .Release.Namespace }}-{{ include "modelcache.operator.name" . }}
{{- end -}}

{{- define "modelcache.inference.name" -}}
{{- include "modelcache.fullname" . }}-inference
{{- end -}}

{{- define "modelcache.selector" -}}
app.kubernetes.io/name: {{ include "modelcache.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- end -}}

{{- define "modelcache.podLabels" -}}
{{ include "modelcache.selector" . }}
app.kubernetes.io/part-of: modelcache
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "modelcache.labels" -}}
{{ include "modelcache.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
app.kubernetes.io/part-of: modelcache
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}
