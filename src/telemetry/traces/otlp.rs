//! Encodes spans as a request of OTLP: protobuf, with the field numbers of `opentelemetry/proto/trace/v1/trace.proto`.

use crate::telemetry::traces::span::{EndedSpan, SpanValue};

/// A protobuf message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u8, value: u64) -> Self {
        self.0.push(field << 3);
        self.varint(value);
        self
    }

    fn fixed(mut self, field: u8, value: u64) -> Self {
        self.0.push(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u8, bytes: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u8, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u8, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    fn attribute(self, field: u8, name: &str, value: &SpanValue) -> Self {
        let any = match value {
            SpanValue::Text(text) => Self::default().text(1, text),
            // A negative number would take ten bytes, but no attribute of ours is negative.
            SpanValue::Number(number) => Self::default().number(3, number.cast_unsigned()),
        };
        self.message(field, &Self::default().text(1, name).message(2, &any))
    }
}

/// The request for these spans. `at` converts times into nanoseconds since 1970.
pub(super) fn request(
    resource: &[(&str, SpanValue)],
    spans: &[EndedSpan],
    at: impl Fn(std::time::Instant) -> u64,
) -> Vec<u8> {
    let resource =
        resource.iter().fold(Message::default(), |all, (name, value)| all.attribute(1, name, value));
    let scope = Message::default().text(1, "verbatim").text(2, env!("CARGO_PKG_VERSION"));
    let scope_spans = Message::default().message(1, &scope);
    let scope_spans = spans.iter().fold(scope_spans, |all, span| all.message(2, &written(span, &at)));
    let resource_spans = Message::default().message(1, &resource).message(2, &scope_spans);
    Message::default().message(1, &resource_spans).0
}

fn written(ended: &EndedSpan, at: &impl Fn(std::time::Instant) -> u64) -> Message {
    let mut span = Message::default().bytes(1, &ended.span.trace).bytes(2, ended.id());
    if let Some(parent) = ended.parent() {
        span = span.bytes(4, parent);
    }
    span = span
        .text(5, &ended.name)
        .number(6, ended.kind() as u64)
        .fixed(7, at(ended.begun()))
        .fixed(8, at(ended.ended));
    span = ended.attributes.iter().fold(span, |span, (name, value)| span.attribute(9, name, value));
    match ended.is_failed {
        true => span.message(15, &Message::default().number(3, 2)),
        false => span,
    }
}
