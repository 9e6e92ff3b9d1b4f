{{- /*
What the operator may do in a namespace that it serves. It reads no Secret and deletes no claim, and no pod unless
operator.peers.enabled.
tests/operator/test_rights.py runs it with nothing but this, and checks that all of it is used.
*/ -}}
{{- define "modelcache.operator.rules" -}}
- apiGroups: [modelcache.dev]
  resources: [modelcaches]
  verbs: [get, list, watch]
- apiGroups: [modelcache.dev]
  resources: [modelcaches/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods] # patch: removing the gate
  verbs: [list, watch, patch]
- apiGroups: [""]
  resources: [configmaps] # the manifest that sync containers mount
  verbs: [list, create, patch]
- apiGroups: [""]
  resources: [persistentvolumeclaims] # for spec.volume.create
  verbs: [get, list, create, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
{{- if .Values.operator.kueue.enabled }}
- apiGroups: [batch]
  resources: [jobs] # the annotation by which Kueue waits for a cache
  verbs: [patch]
{{- end }}
{{- if .Values.operator.peers.enabled }}
- apiGroups: [""]
  resources: [pods] # the peer server of a cache with spec.peers
  verbs: [create, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, create, patch, delete]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, create, patch]
{{- end }}
{{- end -}}

{{- define "modelcache.operator.namespaces" -}}
{{- .Values.operator.namespaces | default (list (include "modelcache.namespace" .)) | uniq | toYaml -}}
{{- end -}}

{{- /* Fields of spec.sync.job that make the Job the author's own program, or place and name its pod. */ -}}
{{- define "modelcache.operator.jobFields" -}}
[image, imagePullSecrets, serviceAccountName, podSecurityContext, priorityClassName, env, volumes, volumeMounts, nodeSelector, affinity, tolerations, topologySpreadConstraints, labels, annotations]
{{- end -}}

{{- /*
Match conditions of the policies about deletion. What Kubernetes' own controllers delete follows from something that was deleted
before; without accounts of their own, they are the controller manager.
*/ -}}
{{- define "modelcache.operator.deletedByHand" -}}
- name: a-person-or-a-tool
  expression: >-
    !request.userInfo.username.startsWith('system:serviceaccount:kube-system:')
    && request.userInfo.username != 'system:kube-controller-manager'
- name: not-allowed-by-annotation
  expression: >-
    !has(oldObject.metadata.annotations) || !('modelcache.dev/allow-deletion' in oldObject.metadata.annotations)
    || oldObject.metadata.annotations['modelcache.dev/allow-deletion'] != 'true'
{{- end -}}

{{- define "modelcache.operator.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: {{ .kind | default "Validating" }}AdmissionPolicyBinding
metadata:
  {{- include "modelcache.metadata" (dict "root" .root "component" "operator" "name" .name "clusterWide" true) | nindent 2 }}
spec:
  policyName: {{ .name | quote }}
  {{- if ne .kind "Mutating" }}
  validationActions: {{ .actions | default (list "Deny") | toJson }}
  {{- end }}
  {{- with .params }}
  paramRef:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .root.Values.operator.allNamespaces }}
  matchResources:
    namespaceSelector:
      matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values:
          {{- include "modelcache.operator.namespaces" .root | nindent 10 }}
  {{- end }}
{{- end -}}
