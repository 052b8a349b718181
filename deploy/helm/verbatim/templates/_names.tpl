{{/* The name of everything that the release has once. */}}
{{- define "verbatim.name" -}}
{{- if contains "verbatim" .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- else -}}{{ printf "%s-verbatim" .Release.Name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{/* The labels by which pods are found. They never change. */}}
{{- define "verbatim.found-by" -}}
app.kubernetes.io/name: verbatim
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "verbatim.labels" -}}
{{ include "verbatim.found-by" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* A setting as text. Helm reads integers of a file as floating-point numbers, and would print 1000000 as 1e+06. */}}
{{- define "verbatim.text" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{- define "verbatim.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
