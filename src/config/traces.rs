//! The destination of spans, and the fraction of traces that are recorded.

use std::{ffi::OsStr, path::PathBuf, sync::Arc, time::Duration};

use clap::{
    Arg, Args, Command, Error,
    builder::{EnumValueParser, PossibleValue, PossibleValuesParser, StringValueParser, TypedValueParser},
};
use futures_util::FutureExt as _;

use crate::{
    config::{BadSetting, secret::secret},
    networks::Networks,
    outbound::{Bounds, Outbound, Schemes, Target, Trust, is_header},
    telemetry::traces::{NotTaken, Posting, Sampler, SamplerKind},
};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const HEADERS_FILE: &str = "VERBATIM_OTLP_HEADERS_FILE";
/// The time limit of the collector's answer, and the number of bytes of it that are kept.
const ANSWER: Bounds = Bounds { within: Duration::from_secs(10), bytes: 1_024 };
/// Statuses after which OTLP retries the same request.
const AGAIN: [u16; 4] = [429, 502, 503, 504];

/// The defaults of the settings.
const PROTOCOL: &str = "http/protobuf";
const SERVICE: &str = "verbatim";
const SAMPLER: &str = "parentbased_always_on";
const SHARE: &str = "1";

/// The settings of traces, by the names that OpenTelemetry has given them.
#[derive(Debug, Clone, Args)]
pub(super) struct TraceSettings {
    /// Address of an OpenTelemetry collector, like `http://collector:4318`; spans go to its path /v1/traces. [default:
    /// none; no spans are recorded]
    #[arg(long, env = ENDPOINT, value_name = "URL")]
    otlp_endpoint: Option<String>,

    /// Full address to which spans go, like `http://collector:4318/v1/traces`, instead of the path /v1/traces of
    /// OTEL_EXPORTER_OTLP_ENDPOINT.
    #[arg(long, env = TRACES_ENDPOINT, value_name = "URL")]
    otlp_traces_endpoint: Option<String>,

    /// Headers of requests to the collector, with percent-encoded values, as in
    /// `authorization=Bearer%20secret,x-tenant=chat`.
    #[arg(long, env = HEADERS, value_name = "HEADERS", hide_env_values = true)]
    otlp_headers: Option<String>,

    /// File with these headers, instead of OTEL_EXPORTER_OTLP_HEADERS.
    #[arg(long, env = HEADERS_FILE, value_name = "FILE")]
    otlp_headers_file: Option<PathBuf>,

    /// Protocol of the collector. Only `http/protobuf` is supported.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", default_value = PROTOCOL, value_name = "WORD",
          value_parser = OrDefault(PossibleValuesParser::new([PROTOCOL]), PROTOCOL), hide_possible_values = true)]
    otlp_protocol: String,

    /// Name of this service in traces.
    #[arg(long, env = "OTEL_SERVICE_NAME", default_value = SERVICE, value_name = "NAME",
          value_parser = OrDefault(StringValueParser::new(), SERVICE))]
    service_name: String,

    /// Sampler of traces. With `parentbased_…`, the client decides if its request names a trace.
    #[arg(long, env = "OTEL_TRACES_SAMPLER", default_value = SAMPLER, value_name = "WORD",
          value_parser = OrDefault(EnumValueParser::<SamplerKind>::new(), SAMPLER))]
    traces_sampler: SamplerKind,

    /// Fraction of traces that the `traceidratio` samplers record, from 0 to 1.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = SHARE, value_name = "SHARE",
          value_parser = OrDefault(share, SHARE))]
    traces_sampler_arg: f64,
}

/// Parses a setting with another parser, and an empty one as its default. An empty setting counts as unset, as with every
/// setting of OpenTelemetry; Compose passes `${X:-}` on as an empty one.
#[derive(Debug, Clone, Copy)]
struct OrDefault<P>(P, &'static str);

impl<P: TypedValueParser> TypedValueParser for OrDefault<P> {
    type Value = P::Value;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<P::Value, Error> {
        let value = if value.is_empty() { OsStr::new(self.1) } else { value };
        self.0.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        self.0.possible_values()
    }
}

/// The destination of spans, and the fraction of traces that are recorded.
pub(crate) struct SpanDestination {
    pub(crate) service: String,
    pub(crate) sampler: Sampler,
    pub(crate) post: Posting,
}

/// Parses the fraction.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1, as in 0.05".into())
}

impl TraceSettings {
    /// Reads the settings; `None` without an endpoint.
    pub(super) fn read(
        &self,
        trust: impl FnOnce() -> Result<Trust, BadSetting>,
    ) -> Result<Option<SpanDestination>, BadSetting> {
        let given = |setting: &Option<String>| setting.clone().filter(|text| !text.is_empty());
        let (name, address) = match (given(&self.otlp_traces_endpoint), given(&self.otlp_endpoint)) {
            (Some(address), _) => (TRACES_ENDPOINT, address),
            (None, Some(base)) => (ENDPOINT, format!("{}/v1/traces", base.trim_end_matches('/'))),
            (None, None) => return Ok(None),
        };
        let target =
            Target::parse_with(&address, true).map_err(|bad| BadSetting(format!("{name}: {bad}")))?;
        let (name, list) = match (given(&self.otlp_headers), &self.otlp_headers_file) {
            (Some(_), Some(_)) => {
                return Err(BadSetting(format!("{HEADERS} and {HEADERS_FILE} are both set: unset one")));
            }
            (None, Some(file)) => (HEADERS_FILE, secret(file, HEADERS_FILE)?),
            (list, None) => (HEADERS, list.unwrap_or_default()),
        };
        let headers =
            headers(&list).ok_or_else(|| BadSetting(format!("{name}: expected name=value,name=value")))?;
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
    fn an_empty_setting_counts_as_unset() {
        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            traces: TraceSettings,
        }
        let read = |arguments: &[&str]| {
            <Program as clap::Parser>::try_parse_from([&["verbatim"], arguments].concat())
                .map(|program| program.traces)
        };
        let empty = [
            "--otlp-endpoint=",
            "--otlp-traces-endpoint=",
            "--otlp-headers=",
            "--otlp-protocol=",
            "--service-name=",
            "--traces-sampler=",
            "--traces-sampler-arg=",
        ];
        let traces = read(&empty).expect("settings");
        assert_eq!((&*traces.otlp_protocol, &*traces.service_name), (PROTOCOL, SERVICE));
        assert_eq!(
            (traces.traces_sampler, traces.traces_sampler_arg),
            (SamplerKind::ParentBasedAlwaysOn, 1.0)
        );
        let trust = || Err(BadSetting("nobody asks for it".into()));
        assert!(traces.read(trust).is_ok_and(|destination| destination.is_none()));
        assert!(read(&["--traces-sampler=sometimes"]).is_err_and(|e| e.to_string().contains("traceidratio")));
    }

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
