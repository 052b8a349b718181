{{/* What the pods of nodes and of `migrate` have in common: they are as restricted as Kubernetes knows. */}}
{{- define "verbatim.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "verbatim.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* One volume with all files of a map from a setting to a key of a Secret; each file has the name of its setting. */}}
{{- define "verbatim.files" -}}
- name: files
  projected:
    defaultMode: 0440
    sources:
      {{- range $setting, $of := . }}
      - secret:
          name: {{ $of.secret }}
          items: [{ key: {{ $of.key | quote }}, path: {{ $setting }} }]
      {{- end }}
{{- end -}}

{{- define "verbatim.file-settings" -}}
{{- range $setting, $of := . }}
- name: {{ $setting }}
  value: /run/verbatim/{{ $setting }}
{{- end }}
{{- end -}}

{{/* The files that `migrate` needs: those that lead to the servers, as JSON. */}}
{{- define "verbatim.files-of-migrate" -}}
{{- $files := merge (dict) .Values.migrate.secretFiles -}}
{{- range $setting, $of := .Values.secretFiles -}}
{{- if or (hasPrefix "VERBATIM_NATS_" $setting) (hasPrefix "VERBATIM_DATABASE_" $setting) -}}
{{- $_ := set $files $setting $of -}}
{{- end -}}
{{- end -}}
{{ toJson $files }}
{{- end -}}
