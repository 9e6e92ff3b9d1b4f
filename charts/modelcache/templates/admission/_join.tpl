{{- /*
What the policies of the label modelcache.dev/cache have in common, and what they add to a pod. The container is the chart's own
"modelcache.syncContainer", whose settings sync Jobs have from the same values, but for two things: it has no credential, and
what it needs of its pod is said in the container, for the pod is somebody else's. Names of volumes begin with "modelcache-".

  modelcache.admission.enabled    "true" if the policies are installed
  modelcache.admission.known      "true" if the API server has MutatingAdmissionPolicy
  modelcache.admission.name       prefix of their names
  modelcache.admission.match      matchConstraints of both
  modelcache.admission.joinable   CEL: the pod has not opted out
  modelcache.admission.joined     CEL: the pod has a container init-sync
  modelcache.admission.container  the init container
  modelcache.admission.volumes    its volumes but those with the models and the manifest, whose names are the cache's
  modelcache.cel                  a value as a CEL literal
*/ -}}

{{- define "modelcache.admission.known" -}}
{{- .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
{{- end -}}

{{- define "modelcache.admission.enabled" -}}
{{- $wanted := .Values.admission.enabled | toString -}}
{{- $auto := and .Values.crds.install (eq (include "modelcache.admission.known" .) "true") -}}
{{- and .Values.operator.enabled (eq $wanted "auto" | ternary $auto (eq $wanted "true")) -}}
{{- end -}}

{{- define "modelcache.admission.name" -}}
{{- include "modelcache.clusterName" . }}-label
{{- end -}}

{{- define "modelcache.admission.match" -}}
objectSelector:
  matchExpressions:
  - {key: modelcache.dev/cache, operator: Exists}
resourceRules:
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods]
  operations: [CREATE]
{{- end -}}

{{- define "modelcache.admission.joinable" -}}
!(has(object.metadata.annotations) && 'modelcache.dev/inject' in object.metadata.annotations
&& object.metadata.annotations['modelcache.dev/inject'] == 'false')
{{- end -}}

{{- define "modelcache.admission.joined" -}}
(object.spec.containers.exists(c, c.name == 'init-sync')
|| (has(object.spec.initContainers) && object.spec.initContainers.exists(c, c.name == 'init-sync')))
{{- end -}}

{{- /* Variables and volumes of sync.* that hold a Secret are the Jobs' alone. A CA is none that has to be kept. */ -}}
{{- define "modelcache.admission.syncVolumes" -}}
{{- range include "modelcache.sync.volumes" . | fromYamlArray }}
{{- if or (eq .name "ca-bundle") (not (or .secret .projected .csi)) }}
{{ list . | toYaml }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "modelcache.admission.container" -}}
{{- $container := include "modelcache.syncContainer" . | fromYaml -}}
{{- $env := list -}}
{{- range include "modelcache.sync.env" . | fromYamlArray -}}
{{- if not (.valueFrom).secretKeyRef -}}{{- $env = append $env . -}}{{- end -}}
{{- end -}}
{{- $_ := unset $container "env" -}}
{{- with $env -}}{{- $_ := set $container "env" . -}}{{- end -}}
{{- /* A container takes these over its pod; the rest, such as fsGroup, is a pod's alone. */ -}}
{{- $security := $container.securityContext -}}
{{- range $key, $value := include "modelcache.podSecurity" . | fromYaml -}}
{{- if and (has $key (list "runAsNonRoot" "runAsUser" "runAsGroup" "seccompProfile" "seLinuxOptions" "appArmorProfile")) (not (kindIs "invalid" $value)) -}}
{{- $_ := set $security $key $value -}}
{{- end -}}
{{- end -}}
{{- $volumes := list "models" "manifest" "tmp" -}}
{{- range include "modelcache.admission.syncVolumes" . | fromYamlArray -}}{{- $volumes = append $volumes .name -}}{{- end -}}
{{- $mounts := list -}}
{{- range $container.volumeMounts -}}
{{- if has .name $volumes -}}{{- $mounts = append $mounts (set . "name" (printf "modelcache-%s" .name)) -}}{{- end -}}
{{- end -}}
{{- /* Kubernetes mounts the pod's service account token in each container that has nothing there. */ -}}
{{- $noToken := dict "name" "modelcache-no-token" "mountPath" "/var/run/secrets/kubernetes.io/serviceaccount" "readOnly" true -}}
{{- set $container "volumeMounts" (append $mounts $noToken) | toYaml -}}
{{- end -}}

{{- define "modelcache.admission.volumes" -}}
{{- $volumes := list (dict "name" "modelcache-tmp" "emptyDir" dict) (dict "name" "modelcache-no-token" "emptyDir" dict) -}}
{{- range include "modelcache.admission.syncVolumes" . | fromYamlArray -}}
{{- $volumes = append $volumes (set . "name" (printf "modelcache-%s" .name)) -}}
{{- end -}}
{{- toYaml $volumes -}}
{{- end -}}

{{- /* Lists and mappings of CEL hold values of one type, or dyn. A JSON text is a CEL text too. */ -}}
{{- define "modelcache.cel" -}}
{{- if kindIs "map" . -}}
{ {{- range $key, $value := . }}{{ toJson $key }}: dyn({{ include "modelcache.cel" $value }}), {{ end -}} }
{{- else if kindIs "slice" . -}}
[{{ range . }}dyn({{ include "modelcache.cel" . }}), {{ end }}]
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end -}}
