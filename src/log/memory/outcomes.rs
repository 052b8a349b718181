//! The outcomes of the latest appends.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long a refused append counts as recent.
const RECENT: Duration = Duration::from_secs(20);

/// The outcomes of the latest appends. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(in crate::log) struct Outcomes(Arc<Mutex<Refusing>>);

#[derive(Debug, Default)]
struct Refusing {
    since: Option<Instant>,
    latest: Option<(Instant, String)>,
}

impl Outcomes {
    pub(in crate::log) fn stored(&self) {
        self.forget();
    }

    /// Forgets the refusals.
    pub(in crate::log) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Refusing::default();
    }

    pub(in crate::log) fn refused(&self, why: &str) {
        let mut refusing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        refusing.since.get_or_insert(now);
        refusing.latest = Some((now, why.to_owned()));
    }

    /// Why appends are refused, and for how long they have been, if none was stored since.
    pub(in crate::log) fn refusing(&self, now: Instant) -> Option<(String, Duration)> {
        let refusing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (latest, why) = refusing.latest.as_ref()?;
        let is_recent = now.duration_since(*latest) < RECENT;
        is_recent.then(|| (why.clone(), now.duration_since(refusing.since.unwrap_or(*latest))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_are_refused_until_one_is_stored_or_the_last_refusal_is_old() {
        let (outcomes, now) = (Outcomes::default(), Instant::now());
        assert_eq!(outcomes.refusing(now), None);
        outcomes.refused("maximum bytes exceeded");
        let why = |at| outcomes.refusing(at).map(|(why, _)| why);
        assert_eq!(why(Instant::now()), Some("maximum bytes exceeded".to_owned()));
        assert_eq!(why(Instant::now() + RECENT * 2), None);
        outcomes.stored();
        assert_eq!(why(Instant::now()), None);
    }
}
