//! The trace of a request, passed on to all work that is done for the request.

tokio::task_local! {
    static TRACE: Option<TraceParent>;
}

/// The trace of a request, and the span that made the request (W3C Trace Context). It is passed on to the readers of
/// the log, whether this process records spans or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent {
    header: String,
    /// Whether the span is one of this process.
    pub(super) is_recorded: bool,
}

impl TraceParent {
    /// The length of a header of version 00.
    const LENGTH: usize = 55;

    /// Parses the header. Of a later version, only the fields of version 00 are used. An invalid header names no trace.
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
        is_valid.then(|| Self { header: format!("00-{trace}-{span}-{flags}"), is_recorded: false })
    }

    /// A span of this process.
    pub(super) fn recorded(trace: [u8; 16], span: [u8; 8]) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Self { header: format!("00-{}-{}-01", hex(&trace), hex(&span)), is_recorded: true }
    }

    /// The ids of the trace and of the span.
    pub(super) fn ids(&self) -> Option<([u8; 16], [u8; 8])> {
        let trace = u128::from_str_radix(&self.header[3..35], 16).ok()?;
        let span = u64::from_str_radix(&self.header[36..52], 16).ok()?;
        Some((trace.to_be_bytes(), span.to_be_bytes()))
    }

    /// Whether the client records this trace.
    pub(super) fn is_sampled(&self) -> bool {
        u8::from_str_radix(&self.header[53..], 16).is_ok_and(|flags| flags & 1 == 1)
    }

    /// The header, in version 00.
    pub fn as_str(&self) -> &str {
        &self.header
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
        let read = |header: String| TraceParent::parse(&header).map(|trace| trace.header);
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

    #[test]
    fn a_span_of_ours_is_a_parent_for_others() {
        let parent = TraceParent::parse(&format!("00-{TRACE_ID}-00")).expect("a trace");
        assert!(!parent.is_sampled() && !parent.is_recorded);
        let (trace, span) = parent.ids().expect("ids");
        let ours = TraceParent::recorded(trace, span);
        assert_eq!(ours.as_str(), format!("00-{TRACE_ID}-01"));
        assert!(ours.is_sampled());
        assert_eq!(ours.ids(), Some((trace, span)));
    }

    #[tokio::test]
    async fn what_is_done_for_a_request_is_part_of_its_trace_and_nothing_else() {
        let trace = TraceParent::parse(&format!("00-{TRACE_ID}-01"));
        assert!(trace.is_some());
        assert_eq!(within(trace.clone(), async { TraceParent::current() }).await, trace);
        assert_eq!(TraceParent::current(), None);
    }
}
