//! A group of metrics: one struct, with a line for each metric.

/// A label with one of a fixed list of values.
pub(super) type Label = [(&'static str, &'static str); 1];
/// The label of a stream.
pub(super) type StreamLabel = [(&'static str, String); 1];

macro_rules! metrics {
    ($(#[doc = $of:literal])+ $group:ident { $($(#[doc = $help:literal])+ $name:ident: $kind:ty = $exported:literal;)+ }) => {
        $(#[doc = $of])+
        #[derive(Debug, Default)]
        pub(crate) struct $group { $($(#[doc = $help])+ pub $name: $kind,)+ }

        impl $group {
            /// The name and the kind of each metric.
            #[cfg(test)]
            pub(in crate::telemetry) const DECLARED: &[(&str, &str)] = &[$(($exported, stringify!($kind)),)+];

            /// Adds these metrics to a registry. The comment of a field is the help of its metric.
            pub(in crate::telemetry) fn register(&self, registry: &mut prometheus_client::registry::Registry) {
                $(registry.register($exported, concat!($($help),+).trim().trim_end_matches('.'), self.$name.clone());)+
            }
        }
    };
}
pub(super) use metrics;
