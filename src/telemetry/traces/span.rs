//! One span, from its beginning to its end.

use std::{borrow::Cow, time::Instant};

use crate::{clock, telemetry::TraceParent};

/// The kind of a span, with its number in OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpanKind {
    /// A request is answered.
    Server = 2,
    /// A message is sent.
    Producer = 4,
    /// A message is processed.
    Consumer = 5,
}

/// A span that has begun.
#[derive(Debug)]
pub(crate) struct OpenSpan {
    pub(super) trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    kind: SpanKind,
    begun: Instant,
}

/// The value of an attribute. It never contains text written by a person, or a path or header of a request.
#[derive(Debug, Clone)]
pub(crate) enum SpanValue {
    Text(Cow<'static, str>),
    Number(i64),
}

/// The attributes of a span, by the names of OpenTelemetry's semantic conventions where these have a name.
pub(crate) type Attributes = Vec<(&'static str, SpanValue)>;

/// A span that has ended.
#[derive(Debug)]
#[must_use = "it is told by `end`"]
pub(crate) struct EndedSpan {
    pub(super) span: OpenSpan,
    pub(super) name: String,
    pub(super) attributes: Attributes,
    pub(super) is_failed: bool,
    pub(super) ended: Instant,
}

impl From<&'static str> for SpanValue {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for SpanValue {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for SpanValue {
    fn from(number: u64) -> Self {
        Self::Number(number.try_into().unwrap_or(i64::MAX))
    }
}

impl OpenSpan {
    /// The first span of a trace.
    pub(super) fn root(kind: SpanKind) -> Self {
        // The standard requires random bytes in the last seven places, and such a name has random bytes there.
        Self { trace: *clock::name().as_bytes(), id: new_id(), parent: None, kind, begun: Instant::now() }
    }

    /// A child span.
    pub(super) fn below(parent: &TraceParent, kind: SpanKind) -> Option<Self> {
        let (trace, above) = parent.ids()?;
        Some(Self { trace, id: new_id(), parent: Some(above), kind, begun: Instant::now() })
    }

    /// The same span with an earlier beginning.
    pub(super) fn since(self, begun: Instant) -> Self {
        Self { begun, ..self }
    }

    /// The trace with this span as the parent of further spans.
    pub(crate) fn parent_of_more(&self) -> TraceParent {
        TraceParent::recorded(self.trace, self.id)
    }

    /// Ends the span of a request that an operation answered with a status.
    pub(crate) fn answered(self, method: &'static str, operation: &'static str, status: u16) -> EndedSpan {
        let name = format!("{} {operation}", if method == OTHER { "HTTP" } else { method });
        let mut attributes: Attributes = vec![
            ("http.request.method", method.into()),
            ("http.response.status_code", u64::from(status).into()),
            ("verbatim.operation", operation.into()),
        ];
        let is_failed = status >= 500;
        if is_failed {
            attributes.push(("error.type", status.to_string().into()));
        }
        self.ends(name, attributes, is_failed)
    }

    /// Ends the span of a frame from a socket.
    pub(crate) fn answered_frame(self, op: &'static str) -> EndedSpan {
        self.ends(format!("frame {op}"), vec![("verbatim.frame", op.into())], false)
    }

    /// Ends the span of a publication to a stream. The event was stored if there is a position.
    pub(crate) fn published(
        self,
        stream: String,
        lane: &str,
        event: String,
        position: Option<u64>,
    ) -> EndedSpan {
        let destination = destination(lane);
        let mut attributes: Attributes = vec![
            ("messaging.system", "nats".into()),
            ("messaging.operation.type", "send".into()),
            ("messaging.operation.name", "publish".into()),
            ("messaging.destination.template", destination.clone().into()),
            ("messaging.message.id", event.into()),
            ("verbatim.stream", stream.into()),
        ];
        attributes.push(match position {
            Some(position) => ("verbatim.position", position.into()),
            None => ("error.type", "not_stored".into()),
        });
        self.ends(format!("publish {destination}"), attributes, position.is_none())
    }

    fn ends(self, name: String, attributes: Attributes, is_failed: bool) -> EndedSpan {
        EndedSpan { span: self, name, attributes, is_failed, ended: Instant::now() }
    }
}

/// The name for an unknown method, which a client can choose freely.
const OTHER: &str = "_OTHER";

/// The name of an HTTP method, or one name for all unknown methods.
pub(crate) fn method(named: &str) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known.into_iter().find(|known| *known == named).unwrap_or(OTHER)
}

/// The template of the subject of events, without ids.
pub(super) fn destination(lane: &str) -> String {
    format!("chat.{{shard}}.{{conversation}}.{lane}")
}

fn new_id() -> [u8; 8] {
    let mut id = [0; 8];
    id.copy_from_slice(&clock::name().as_bytes()[8..]);
    id
}

impl EndedSpan {
    pub(super) fn id(&self) -> &[u8; 8] {
        &self.span.id
    }

    pub(super) fn parent(&self) -> Option<&[u8; 8]> {
        self.span.parent.as_ref()
    }

    pub(super) fn kind(&self) -> SpanKind {
        self.span.kind
    }

    pub(super) fn begun(&self) -> Instant {
        self.span.begun
    }
}
