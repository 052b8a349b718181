//! The trace of a request, handed on to everything that is done for the request.

tokio::task_local! {
    static TRACE: Option<TraceParent>;
}

/// The trace of a request, and the span that has made the request (W3C Trace Context). This program records no spans of
/// its own; it hands the trace on to the readers of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// The length of a header of version 00.
    const LENGTH: usize = 55;

    /// Reads the header. In a later version, only the fields of version 00 count. An invalid header names no trace.
    pub fn parse(header: &str) -> Option<Self> {
        let (known, more) = header.split_at_checked(Self::LENGTH)?;
        let mut fields = known.split('-');
        let mut hex = |length: usize| {
            let is_hex = |field: &&str| {
                field.len() == length && field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            };
            fields.next().filter(is_hex)
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let names_one = [trace, span].iter().all(|id| id.bytes().any(|b| b != b'0'));
        let ends_well = more.is_empty() || (version != "00" && more.starts_with('-'));
        let is_valid = names_one && ends_well && version != "ff";
        is_valid.then(|| Self(format!("00-{trace}-{span}-{flags}")))
    }

    /// As a header of version 00.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace of the request that is being answered.
    pub fn current() -> Option<Self> {
        TRACE.try_with(Clone::clone).ok().flatten()
    }
}

/// Runs a future as a part of a trace.
pub(crate) async fn within<F: Future>(trace: Option<TraceParent>, work: F) -> F::Output {
    TRACE.scope(trace, work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    #[test]
    fn a_trace_is_read_as_the_standard_says() {
        let read = |header: String| TraceParent::parse(&header).map(|trace| trace.0);
        let good = format!("00-{TRACE_ID}-01");
        assert_eq!(read(good.clone()), Some(good.clone()));
        assert_eq!(read(format!("cc-{TRACE_ID}-01-more")), Some(good));
        for wrong in [
            String::new(),
            "00".into(),
            format!("ff-{TRACE_ID}-01"),
            format!("00-{TRACE_ID}-01-more"),
            format!("cc-{TRACE_ID}-01more"),
            format!("00-{TRACE_ID}-0g"),
            format!("00-{}-01", TRACE_ID.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16)),
            format!("00-{}-01", TRACE_ID.replace('-', "0")),
            "é".repeat(40),
        ] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_is_done_for_a_request_is_part_of_its_trace_and_nothing_else() {
        let trace = TraceParent::parse(&format!("00-{TRACE_ID}-01"));
        assert!(trace.is_some());
        assert_eq!(within(trace.clone(), async { TraceParent::current() }).await, trace);
        assert_eq!(TraceParent::current(), None);
    }
}
