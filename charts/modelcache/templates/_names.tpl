{{- /*
Names, labels and metadata of every object, so that a rename has one place. All are called with the root context, but for
those with a dict.

  modelcache.namespace           of every object that is in one
  modelcache.fullname            RELEASE-modelcache, or RELEASE if that contains the chart's name
  modelcache.operator.name       FULLNAME-operator: Deployment and all that belongs to it
  modelcache.operator.account    its service account
  modelcache.clusterName         NAMESPACE.FULLNAME: prefix of cluster-wide names
  modelcache.operator.clusterName  of its ClusterRole and admission policy
  modelcache.inference.name      FULLNAME-inference: Deployment, Service, ...
  modelcache.inference.account   its service account
  modelcache.metadata            (dict "root" $ "component" "operator" "name" "a")  of an object; more keys: "labels",
                                 "annotations", "namespace" for another one than the release's, "clusterWide" for none
  modelcache.kept                annotations of what stays when the release is uninstalled
  modelcache.labels              (dict "root" $ "component" "operator")  labels of an object
  modelcache.podLabels           (the same)  of a pod: without versions, or every upgrade would restart it
  modelcache.selector            (the same)  labels that never change, for selectors
*/ -}}

{{- define "modelcache.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{- define "modelcache.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* A release may be called 4k.prod. The name of a Service has no dot, and begins with a letter. */ -}}
{{- define "modelcache.fullname" -}}
{{- $name := include "modelcache.name" . -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- $default := contains $name $release | ternary $release (printf "%s-%s" $release $name) -}}
{{- if regexMatch "^[0-9]" $default -}}{{- $default = printf "%s-%s" $name $release -}}{{- end -}}
{{- .Values.fullnameOverride | default $default | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- define "modelcache.operator.name" -}}
{{- include "modelcache.fullname" . }}-operator
{{- end -}}

{{- define "modelcache.operator.account" -}}
{{- $account := .Values.operator.serviceAccount -}}
{{- $account.name | default ($account.create | ternary (include "modelcache.operator.name" .) "default") -}}
{{- end -}}

{{- /* Two releases of one name may live in two namespaces. No namespace has a dot, so no two of these are the same. */ -}}
{{- define "modelcache.clusterName" -}}
{{- include "modelcache.namespace" . }}.{{ include "modelcache.fullname" . }}
{{- end -}}

{{- define "modelcache.operator.clusterName" -}}
{{- include "modelcache.clusterName" . }}-operator
{{- end -}}

{{- define "modelcache.inference.name" -}}
{{- include "modelcache.fullname" . }}-inference
{{- end -}}

{{- define "modelcache.inference.account" -}}
{{- $account := .Values.inference.serviceAccount -}}
{{- $account.name | default ($account.create | ternary (include "modelcache.inference.name" .) "default") -}}
{{- end -}}

{{- define "modelcache.metadata" -}}
name: {{ .name | quote }}
{{- if not .clusterWide }}
namespace: {{ .namespace | default (include "modelcache.namespace" .root) | quote }}
{{- end }}
labels:
  {{- include "modelcache.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) (.root.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* 90 GB are not fetched again because a release was uninstalled. Argo CD reads an annotation of its own when it prunes. */ -}}
{{- define "modelcache.kept" -}}
helm.sh/resource-policy: keep
argocd.argoproj.io/sync-options: Prune=false
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
