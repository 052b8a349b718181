//! How long the messages of a conversation are kept.

/// The longest retention that is accepted, in seconds: a hundred years.
pub(crate) const LONGEST_RETENTION: u64 = 3_155_760_000;

/// The retention rules of an installation, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetentionRules {
    /// The retention of a conversation that has none of its own; `None` keeps its messages forever.
    pub default: Option<u64>,
    /// The shortest retention.
    pub least: u64,
    /// The longest retention. If there is one, no conversation keeps its messages forever.
    pub most: Option<u64>,
}

impl RetentionRules {
    /// The effective retention of a conversation with this retention of its own. The rules may have changed since it
    /// was set.
    pub fn of(self, own: Option<u64>) -> Option<u64> {
        let wanted = own.or(self.default).map(|seconds| seconds.max(self.least));
        match (wanted, self.most) {
            (Some(wanted), Some(most)) => Some(wanted.min(most)),
            (wanted, most) => wanted.or(most),
        }
    }

    /// Whether an owner may set this retention.
    pub fn admit(self, seconds: u64) -> bool {
        (self.least..=self.longest()).contains(&seconds)
    }

    /// The longest retention that an owner may set.
    pub fn longest(self) -> u64 {
        self.most.unwrap_or(LONGEST_RETENTION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_retention_counts_within_the_bounds_and_without_one_the_default() {
        let free = RetentionRules { default: None, least: 60, most: None };
        assert_eq!([None, Some(90), Some(30)].map(|own| free.of(own)), [None, Some(90), Some(60)]);
        let bound = RetentionRules { default: Some(100), least: 60, most: Some(200) };
        assert_eq!([None, Some(90), Some(300)].map(|own| bound.of(own)), [Some(100), Some(90), Some(200)]);
        let most = RetentionRules { default: None, ..bound };
        assert_eq!(most.of(None), Some(200), "nothing is kept for ever");
    }

    #[test]
    fn an_owner_sets_a_retention_within_the_bounds() {
        let rules = RetentionRules { default: None, least: 60, most: Some(200) };
        assert_eq!([59, 60, 200, 201].map(|seconds| rules.admit(seconds)), [false, true, true, false]);
        let free = RetentionRules { most: None, ..rules };
        assert!(free.admit(LONGEST_RETENTION) && !free.admit(LONGEST_RETENTION + 1));
    }
}
