{{- define "freshrank.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "freshrank.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Labels of everything. The argument is a list: the root and the name of the component. */}}
{{- define "freshrank.labels" -}}
{{ include "freshrank.selector" . }}
{{- $root := index . 0 }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- end }}

{{- define "freshrank.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: freshrank
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "freshrank.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "freshrank.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Where a pod runs. */}}
{{- define "freshrank.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Variables of every container: the password, and nothing else that is secret. */}}
{{- define "freshrank.env" -}}
- {name: NUMBA_CACHE_DIR, value: /kernels}
{{- with .Values.kafka.passwordSecret }}
- name: FRESHRANK_KAFKA_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ . }}, key: password}}
{{- end }}
{{- end }}

{{/* Copies the compiled kernels of the image to where numba may write. */}}
{{- define "freshrank.kernels" -}}
- name: kernels
  image: {{ include "freshrank.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [cp, -r, /var/cache/freshrank/., /kernels/]
  securityContext: {{ include "freshrank.containerSecurity" . | nindent 4 }}
  resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
  volumeMounts:
    - {name: kernels, mountPath: /kernels}
{{- end }}

{{- define "freshrank.volumes" -}}
- name: settings
  configMap: {name: {{ include "freshrank.name" . }}}
- {name: kernels, emptyDir: {}}
- {name: tmp, emptyDir: {}}
{{- end }}

{{- define "freshrank.mounts" -}}
- {name: settings, mountPath: /etc/freshrank}
- {name: kernels, mountPath: /kernels}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{/* The settings file. JSON's strings, numbers, booleans and arrays are TOML's, too. */}}
{{- define "freshrank.settings" -}}
bootstrap = {{ .Values.kafka.bootstrap | toJson }}
{{- range $name, $value := .Values.settings }}
{{ $name }} = {{ $value | toJson }}
{{- end }}
recovery = "/var/lib/freshrank{{ with .Values.stateDirectory }}/{{ . }}{{ end }}"
metrics_host = "0.0.0.0"
metrics_port = 9464
{{- if gt (int .Values.shards) 1 }}
shard = "auto/{{ .Values.shards }}"
{{- end }}
{{- if .Values.deltaSnapshots.enabled }}
delta_snapshots = "/var/lib/freshrank-deltas"
{{- end }}
{{- with .Values.settingsToml }}
{{ . }}
{{- end }}
{{- end }}
