//! The budgets that have a rate of their own: an operator can give a service account limits that differ from the common
//! ones.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    gcra::Pace,
    policy::Policy,
    rate::{BadLimit, PolicyLimit, Rate},
};

/// The most budgets with a rate of their own. When there are more, all are forgotten, and each comes back when its key
/// is looked up again.
const MOST: usize = 65_536;

/// The limits of a service account that differ from the common ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnLimits(Vec<(Policy, PolicyLimit)>);

/// Why these limits cannot be given to a service account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOwnLimit {
    /// No policy has this name, or it does not apply to service accounts.
    #[error("a service account has no rate limit of this name: use {}", words())]
    Unknown(String),
    /// The rate cannot be parsed.
    #[error("{1}")]
    Rate(String, BadLimit),
}

impl BadOwnLimit {
    /// The name of the wrong limit.
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown(name) | Self::Rate(name, _) => name,
        }
    }
}

fn words() -> String {
    OwnLimits::POLICIES.map(Policy::word).join(", ")
}

impl OwnLimits {
    /// The policies that apply to a service account. `send` applies only if it is given.
    pub const POLICIES: [Policy; 6] =
        [Policy::Service, Policy::Send, Policy::Start, Policy::Members, Policy::Search, Policy::Connect];

    /// Reads limits by the name of their policy, in the notation of the settings.
    pub fn parse<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, BadOwnLimit> {
        let limit = |(name, text): (&str, &str)| {
            let policy = Self::POLICIES.into_iter().find(|policy| policy.word() == name);
            let policy = policy.ok_or_else(|| BadOwnLimit::Unknown(name.into()))?;
            Ok((policy, text.parse().map_err(|bad| BadOwnLimit::Rate(name.into(), bad))?))
        };
        texts.into_iter().map(limit).collect::<Result<_, _>>().map(Self)
    }

    /// The limits by the name of their policy, in the notation of the settings.
    pub fn texts(&self) -> BTreeMap<String, String> {
        self.iter().map(|(policy, limit)| (policy.word().to_owned(), limit.to_string())).collect()
    }

    /// Each limit.
    pub fn iter(&self) -> impl Iterator<Item = (Policy, PolicyLimit)> {
        self.0.iter().copied()
    }
}

/// The rates of budgets that have a rate of their own, by the hash of their key; `None` for a budget without a limit.
#[derive(Default)]
pub(super) struct OwnRates {
    /// Whether there are any such budgets. Without them, a request costs nothing extra.
    has_any: AtomicBool,
    rates: RwLock<HashMap<u64, Option<(Rate, Pace)>>>,
}

impl OwnRates {
    pub(super) fn set(&self, hash: u64, rate: Option<Rate>) {
        let mut rates = self.rates.write().unwrap_or_else(PoisonError::into_inner);
        if rates.len() >= MOST && !rates.contains_key(&hash) {
            rates.clear();
        }
        rates.insert(hash, rate.map(|rate| (rate, rate.pace())));
        self.has_any.store(true, Ordering::Release);
    }

    /// The rate of a budget that has one of its own.
    pub(super) fn of(&self, hash: u64) -> Option<Option<(Rate, Pace)>> {
        if !self.has_any() {
            return None;
        }
        self.rates.read().unwrap_or_else(PoisonError::into_inner).get(&hash).copied()
    }

    pub(super) fn has_any(&self) -> bool {
        self.has_any.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written_and_others_are_refused() {
        let limits = OwnLimits::parse([("send", "60/60:5"), ("service", "off")]).expect("limits");
        let texts = limits.texts();
        let again = OwnLimits::parse(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        assert_eq!(again, Ok(limits));
        let refused = |name, text| OwnLimits::parse([(name, text)]).expect_err("refused").to_string();
        assert!(refused("login", "1/60").contains("service, send, start"), "{}", refused("login", "1/60"));
        assert!(refused("send", "0/60").contains("cannot have a 0"), "{}", refused("send", "0/60"));
    }

    #[test]
    fn the_rates_are_bounded() {
        let own = OwnRates::default();
        assert!(own.of(1).is_none());
        for hash in 0..=MOST as u64 {
            own.set(hash, None);
        }
        assert!(own.of(MOST as u64).is_some() && own.of(0).is_none());
    }
}
