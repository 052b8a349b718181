//! The settings for how long messages are kept.

use clap::Args;

use crate::{
    config::BadSetting,
    domain::{LONGEST_RETENTION, RetentionRules},
};

/// The settings for how long messages are kept. All nodes need the same.
#[derive(Debug, Clone, Args)]
pub(super) struct RetentionSettings {
    /// Retention of messages in a conversation without its own retention, in seconds. [default: forever]
    #[arg(long, env = "VERBATIM_RETENTION_DEFAULT", value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=LONGEST_RETENTION))]
    retention_default: Option<u64>,

    /// Longest retention of a conversation, in seconds. With it, no conversation keeps messages forever. [default:
    /// none]
    #[arg(long, env = "VERBATIM_RETENTION_MAX", value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=LONGEST_RETENTION))]
    retention_max: Option<u64>,

    /// Shortest retention of a conversation, in seconds.
    #[arg(long, env = "VERBATIM_RETENTION_MIN", default_value_t = 3_600, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=LONGEST_RETENTION))]
    retention_min: u64,
}

impl RetentionSettings {
    /// The rules.
    ///
    /// # Errors
    /// If the shortest retention is longer than the longest one, or the default is not between them.
    pub(super) fn rules(&self) -> Result<RetentionRules, BadSetting> {
        let Self { retention_default: default, retention_min: least, retention_max: most } = *self;
        let rules = RetentionRules { default, least, most };
        if rules.least > rules.longest() {
            return Err(BadSetting(
                "VERBATIM_RETENTION_MIN is greater than VERBATIM_RETENTION_MAX: set MIN to MAX or less"
                    .into(),
            ));
        }
        if rules.default.is_some_and(|seconds| !rules.admit(seconds)) {
            return Err(BadSetting(
                "VERBATIM_RETENTION_DEFAULT is not between VERBATIM_RETENTION_MIN and VERBATIM_RETENTION_MAX: set it \
                 between them"
                    .into(),
            ));
        }
        Ok(rules)
    }
}
