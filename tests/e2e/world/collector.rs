//! A collector of traces, which decodes its requests (OTLP over HTTP with protobuf).

use std::collections::BTreeMap;

use super::{Received, Receiver, Told};

/// A collector with its own address.
pub struct Collector(pub Receiver);

/// A received span.
#[derive(Debug, Clone)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty in the first span of a trace.
    pub parent: String,
    pub kind: u64,
    /// Nanoseconds since 1970.
    pub begun: u64,
    pub ended: u64,
    pub attributes: BTreeMap<String, String>,
    pub is_failed: bool,
}

impl Collector {
    /// A collector that accepts everything.
    pub async fn start() -> Self {
        Self(Receiver::answering(|_| Told::status(200)).await)
    }

    /// The settings with which a node sends its spans here.
    pub fn settings(&self) -> [(&'static str, String); 2] {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.0.url("/")),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20for-collectors".into()),
        ]
    }

    /// All spans that it has accepted.
    pub fn spans(&self) -> Vec<Span> {
        self.0.taken().iter().flat_map(spans).collect()
    }

    /// The spans of a trace.
    pub fn of(&self, trace: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.trace == trace).collect()
    }
}

/// The spans of a request. Asserts that its head and resource are correct.
fn spans(request: &Received) -> Vec<Span> {
    assert_eq!(request.path, "/v1/traces");
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(request.header("authorization"), Some("Bearer for-collectors"));
    let mut found = Vec::new();
    for resource_spans in messages(&request.bytes, 1) {
        let [resource] = &messages(resource_spans, 1)[..] else { panic!("one resource") };
        let resource = attributes(resource, 1);
        assert_eq!(resource["service.name"], "chat");
        assert!(!resource["service.instance.id"].is_empty());
        for scope_spans in messages(resource_spans, 2) {
            found.extend(messages(scope_spans, 2).into_iter().map(span));
        }
    }
    found
}

fn span(of: &[u8]) -> Span {
    let hex = |number| {
        let bytes = messages(of, number).first().copied().unwrap_or_default();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    Span {
        name: text(of, 5),
        trace: hex(1),
        id: hex(2),
        parent: hex(4),
        kind: number(of, 6).expect("a kind"),
        begun: number(of, 7).expect("a beginning"),
        ended: number(of, 8).expect("an end"),
        attributes: attributes(of, 9),
        is_failed: messages(of, 15).first().is_some_and(|status| number(status, 3) == Some(2)),
    }
}

fn attributes(of: &[u8], field: u64) -> BTreeMap<String, String> {
    let pair = |pair: &[u8]| {
        let value = messages(pair, 2)[0];
        let value = number(value, 3).map_or_else(|| text(value, 1), |number| number.to_string());
        (text(pair, 1), value)
    };
    messages(of, field).into_iter().map(pair).collect()
}

/// The value of a protobuf field.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn fields(mut of: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(of: &mut &[u8]) -> u64 {
        let length = of.iter().position(|byte| byte & 0x80 == 0).expect("an end") + 1;
        let (bytes, rest) = of.split_at(length);
        *of = rest;
        bytes.iter().rev().fold(0, |all, byte| all << 7 | u64::from(byte & 0x7f))
    }
    let mut found = Vec::new();
    while !of.is_empty() {
        let tag = varint(&mut of);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut of)),
            1 => {
                let (bytes, rest) = of.split_at(8);
                of = rest;
                Field::Number(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
            }
            2 => {
                let length = varint(&mut of) as usize;
                let (bytes, rest) = of.split_at(length);
                of = rest;
                Field::Bytes(bytes)
            }
            other => panic!("there is no field of type {other}"),
        };
        found.push((tag >> 3, field));
    }
    found
}

fn messages(of: &[u8], number: u64) -> Vec<&[u8]> {
    let is_one = |(field, value)| match value {
        Field::Bytes(bytes) if field == number => Some(bytes),
        _ => None,
    };
    fields(of).into_iter().filter_map(is_one).collect()
}

fn number(of: &[u8], number: u64) -> Option<u64> {
    fields(of).into_iter().find_map(|(field, value)| match value {
        Field::Number(value) if field == number => Some(value),
        _ => None,
    })
}

fn text(of: &[u8], number: u64) -> String {
    let bytes = messages(of, number).first().copied().unwrap_or_default();
    String::from_utf8(bytes.to_vec()).expect("text")
}
