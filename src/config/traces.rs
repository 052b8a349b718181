//! The destination of spans, and the fraction of traces that are recorded.

use std::{sync::Arc, time::Duration};

use clap::Args;
use futures_util::FutureExt as _;

use crate::{
    config::BadSetting,
    networks::Networks,
    outbound::{Bounds, Outbound, Schemes, Target, Trust, is_header},
    telemetry::traces::{NotTaken, Posting, Sampler, SamplerKind},
};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// The time limit of the collector's answer, and the number of bytes of it that are kept.
const ANSWER: Bounds = Bounds { within: Duration::from_secs(10), bytes: 1_024 };
/// Statuses after which OTLP retries the same request.
const AGAIN: [u16; 4] = [429, 502, 503, 504];

/// The settings of traces, by the names that OpenTelemetry has given them.
#[derive(Debug, Clone, Args)]
pub(super) struct TraceSettings {
    /// Address of an OpenTelemetry collector, like `http://collector:4318`; spans go to its path /v1/traces. [default:
    /// none; no spans are recorded]
    #[arg(long, env = ENDPOINT, value_name = "URL")]
    otlp_endpoint: Option<String>,

    /// Headers of requests to the collector, with percent-encoded values, as in
    /// `authorization=Bearer%20secret,x-tenant=chat`.
    #[arg(long, env = HEADERS, value_name = "HEADERS", hide_env_values = true)]
    otlp_headers: Option<String>,

    /// Protocol of the collector. Only `http/protobuf` is supported.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", default_value = "http/protobuf", value_name = "WORD",
          value_parser = ["http/protobuf"], hide_possible_values = true)]
    otlp_protocol: String,

    /// Name of this service in traces.
    #[arg(long, env = "OTEL_SERVICE_NAME", default_value = "verbatim", value_name = "NAME")]
    service_name: String,

    /// Sampler of traces. With `parentbased_…`, the client decides if its request names a trace.
    #[arg(long, env = "OTEL_TRACES_SAMPLER", default_value = "parentbased_always_on", value_name = "WORD")]
    traces_sampler: SamplerKind,

    /// Fraction of traces that the `traceidratio` samplers record, from 0 to 1.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value_t = 1.0, value_name = "SHARE", value_parser = share)]
    traces_sampler_arg: f64,
}

/// The destination of spans, and the fraction of traces that are recorded.
pub(crate) struct SpanDestination {
    pub(crate) service: String,
    pub(crate) sampler: Sampler,
    pub(crate) post: Posting,
}

/// Parses the fraction. An empty setting counts as unset, as with every setting of OpenTelemetry.
fn share(text: &str) -> Result<f64, String> {
    let share = if text.is_empty() { Ok(1.0) } else { text.parse() };
    let share = share.ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1, as in 0.05".into())
}

impl TraceSettings {
    /// Reads the settings; `None` without an endpoint.
    pub(super) fn read(
        &self,
        trust: impl FnOnce() -> Result<Trust, BadSetting>,
    ) -> Result<Option<SpanDestination>, BadSetting> {
        let Some(endpoint) = self.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) else {
            return Ok(None);
        };
        let target = Target::parse_with(&format!("{}/v1/traces", endpoint.trim_end_matches('/')), true)
            .map_err(|bad| BadSetting(format!("{ENDPOINT}: {bad}")))?;
        let headers = headers(self.otlp_headers.as_deref().unwrap_or_default())
            .ok_or_else(|| BadSetting(format!("{HEADERS}: expected name=value,name=value")))?;
        if self.service_name.is_empty() {
            return Err(BadSetting("OTEL_SERVICE_NAME is empty: name the service, or unset it".into()));
        }
        // Only the operator can name the collector, so it may be in a private network.
        let outbound = Outbound::with(&trust()?, Networks::all(), Schemes::HttpToo, 1);
        let asked = Arc::new((target, headers));
        let post = move |spans| {
            let (outbound, asked) = (outbound.clone(), asked.clone());
            async move {
                let (target, headers) = &*asked;
                let kind = [("content-type", "application/x-protobuf")];
                let own = headers.iter().map(|(name, value)| (&**name, &**value));
                let headers: Vec<_> = kind.into_iter().chain(own).collect();
                match outbound.post(target, &headers, spans, ANSWER).await {
                    Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
                    Ok(answer) => Err(NotTaken {
                        why: format!("the collector answered {}", answer.status),
                        passes: AGAIN.contains(&answer.status),
                    }),
                    Err(failed) => Err(NotTaken { why: failed.to_string(), passes: true }),
                }
            }
            .boxed()
        };
        Ok(Some(SpanDestination {
            service: self.service_name.clone(),
            sampler: Sampler::new(self.traces_sampler, self.traces_sampler_arg),
            post: Arc::new(post),
        }))
    }
}

/// Parses a list of headers; `None` if one is invalid.
fn headers(list: &str) -> Option<Vec<(String, String)>> {
    let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (name, value) = item.split_once('=')?;
            let (name, value) = (name.trim().to_ascii_lowercase(), decoded(value.trim())?);
            is_header(&name, &value).then_some((name, value))
        })
        .collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_opentelemetry_writes_them() {
        let read = headers("Authorization=Bearer%20a=b, x-tenant = chat,").expect("headers");
        let named = |(name, value): &(String, String)| format!("{name}: {value}");
        assert_eq!(
            read.iter().map(named).collect::<Vec<_>>(),
            ["authorization: Bearer a=b", "x-tenant: chat"]
        );
        for wrong in ["authorization", "=a", "a b=c", "a=%0d%0ab: c", "a=%2", "a=%zz", "a=%ff"] {
            assert_eq!(headers(wrong), None, "{wrong}");
        }
        assert_eq!(headers(""), Some(Vec::new()));
    }
}
