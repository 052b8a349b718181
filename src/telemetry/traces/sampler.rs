//! Which traces are recorded.

use clap::ValueEnum;

/// The samplers of OpenTelemetry, by their names in `OTEL_TRACES_SAMPLER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SamplerKind {
    /// All traces.
    #[value(name = "always_on")]
    AlwaysOn,
    /// No trace.
    #[value(name = "always_off")]
    AlwaysOff,
    /// A share of all traces.
    #[value(name = "traceidratio")]
    TraceIdRatio,
    /// What the client has decided; without a word of the client, all.
    #[value(name = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    /// What the client has decided; without a word of the client, none.
    #[value(name = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    /// What the client has decided; without a word of the client, a share.
    #[value(name = "parentbased_traceidratio")]
    ParentBasedTraceIdRatio,
}

/// Decides by the trace id, so that all nodes make the same decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampler {
    heeds_parent: bool,
    /// How many of the 2^56 values of the random part of a trace id are sampled.
    sampled: u64,
}

/// The number of values of the random part of a trace id.
const ALL: u64 = 1 << 56;

impl Sampler {
    /// A sampler. The `traceidratio` samplers use `share`, from 0 to 1.
    pub(crate) fn new(kind: SamplerKind, share: f64) -> Self {
        use SamplerKind::*;
        Self {
            heeds_parent: matches!(
                kind,
                ParentBasedAlwaysOn | ParentBasedAlwaysOff | ParentBasedTraceIdRatio
            ),
            sampled: match kind {
                AlwaysOn | ParentBasedAlwaysOn => ALL,
                AlwaysOff | ParentBasedAlwaysOff => 0,
                TraceIdRatio | ParentBasedTraceIdRatio => (share * ALL as f64) as u64,
            },
        }
    }

    /// Whether a trace is recorded. `parent` is the decision of the client, if it sent one.
    pub(super) fn samples(self, trace: &[u8; 16], parent: Option<bool>) -> bool {
        if let (true, Some(is_sampled)) = (self.heeds_parent, parent) {
            return is_sampled;
        }
        let random = trace[9..].iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        random >= ALL - self.sampled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_traces_is_recorded_and_the_client_decides_where_it_may() {
        use SamplerKind::*;
        let trace = |random: u64| {
            let mut trace = [0x55; 16];
            trace[9..].copy_from_slice(&random.to_be_bytes()[1..]);
            trace
        };
        let (low, middle, high) = (trace(0), trace(ALL / 2), trace(ALL - 1));
        for (kind, share, sampled) in [
            (AlwaysOn, 0.0, [true, true, true]),
            (AlwaysOff, 1.0, [false, false, false]),
            (TraceIdRatio, 0.0, [false, false, false]),
            (TraceIdRatio, 0.25, [false, false, true]),
            (TraceIdRatio, 0.5, [false, true, true]),
            (ParentBasedTraceIdRatio, 1.0, [true, true, true]),
            (ParentBasedAlwaysOff, 1.0, [false, false, false]),
        ] {
            let sampler = Sampler::new(kind, share);
            assert_eq!([low, middle, high].map(|trace| sampler.samples(&trace, None)), sampled, "{kind:?}");
        }
        for (kind, is_asked) in [(ParentBasedAlwaysOn, true), (ParentBasedAlwaysOff, true), (AlwaysOn, false)]
        {
            let heeds = Sampler::new(kind, 1.0);
            assert_eq!(heeds.samples(&high, Some(false)), !is_asked, "{kind:?}");
            assert!(heeds.samples(&high, Some(true)), "{kind:?}");
        }
    }
}
