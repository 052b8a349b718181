//! Does the receiver as a whole fail? Then one event probes it and all others wait, so that ten thousand conversations
//! do not each try by themselves. When the receiver answers again, the others go on, whatever the answer to the probe.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use crate::{
    domain::{ConversationId, ReplayId, Time},
    webhooks::lane::Key,
};

/// When this many conversations fail with no success in between, the receiver as a whole is at fault.
const CONVERSATIONS: usize = 10;
/// The fewest failed attempts before an endpoint is disabled.
const ATTEMPTS: u32 = 10;

/// Longer than a probe takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// There was no connection: the receiver as a whole is away.
    Connection,
    /// The answer was bad: 5xx, too slow, or not HTTP.
    Server,
    /// The receiver refused this event.
    Refused,
}

/// The state of the receiver as a whole.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Since when no attempt has succeeded.
    pub(super) failing_since: Option<Time>,
    /// How many attempts have failed since.
    pub(super) failures: u32,
    /// The conversations that got a bad answer since an event was taken.
    failed: HashSet<ConversationId>,
    /// How many probes have failed since an event was taken. A receiver that answers and breaks off in turns is not asked
    /// more and more often.
    tries: usize,
    open: Option<Open>,
    paused: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    /// When the next probe is due.
    until: Instant,
    /// The lane whose event is the probe.
    probe: Option<(Option<ReplayId>, Key)>,
}

/// What may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// Everything that is due.
    All,
    /// One event, whether it is due or not.
    Probe,
    /// Nothing before this time.
    Nothing(Instant),
}

impl Breaker {
    /// A breaker with the stored state.
    pub(super) fn known(failing_since: Option<Time>, failures: u32) -> Self {
        Self { failing_since, failures, ..Self::default() }
    }

    /// What may be sent.
    pub(super) fn permit(&self, now: Instant) -> Permit {
        let paused = self.paused.filter(|until| *until > now);
        let open = self.open.as_ref();
        match (paused, open) {
            (Some(until), _) => Permit::Nothing(until),
            (None, Some(open)) if open.until > now => Permit::Nothing(open.until),
            // The probe is in flight. Its end wakes the owner.
            (None, Some(open)) if open.probe.is_some() => Permit::Nothing(now + PATIENCE),
            (None, Some(_)) => Permit::Probe,
            (None, None) => Permit::All,
        }
    }

    /// Whether the receiver as a whole fails.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Notes which event is the probe.
    pub(super) fn probes(&mut self, run: Option<ReplayId>, key: Key) {
        if let Some(open) = &mut self.open {
            open.probe = Some((run, key));
        }
    }

    /// Notes that an event was not sent after all. If it was to be the probe, another event may be.
    pub(super) fn was_not_sent(&mut self, of: (Option<ReplayId>, Key)) {
        if let Some(open) = self.open.as_mut().filter(|open| open.probe == Some(of)) {
            open.probe = None;
        }
    }

    /// Notes that an event was taken. Returns whether the receiver has come back.
    pub(super) fn succeeded(&mut self) -> bool {
        let was_open = self.open.is_some();
        *self = Self { paused: self.paused, ..Self::default() };
        was_open
    }

    /// Notes that an attempt failed. Returns whether the receiver has come back: if it answers the probe, but badly, the
    /// fault may lie in that event, which must not hold up the events of other conversations.
    pub(super) fn failed(
        &mut self,
        of: (Option<ReplayId>, Key),
        fault: Fault,
        retries: &[Duration],
        at: (Instant, Time),
    ) -> bool {
        self.failing_since.get_or_insert(at.1);
        self.failures = self.failures.saturating_add(1);
        if fault == Fault::Server && self.failed.len() < CONVERSATIONS {
            self.failed.insert(of.1.0);
        }
        let is_away = match fault {
            Fault::Connection => true,
            Fault::Server => self.failed.len() >= CONVERSATIONS,
            Fault::Refused => false,
        };
        let is_probe = self.open.as_ref().is_some_and(|open| open.probe == Some(of));
        self.tries += usize::from(is_probe);
        let wait = retries.get(self.tries).or(retries.last()).copied().unwrap_or_default();
        match &mut self.open {
            // Attempts that were in flight when the breaker opened say nothing new.
            Some(_) if !is_probe => false,
            Some(open) if is_away => {
                (open.until, open.probe) = (at.0 + wait, None);
                false
            }
            Some(_) => {
                self.open = None;
                true
            }
            None => {
                self.open = is_away.then(|| Open { until: at.0 + wait, probe: None });
                false
            }
        }
    }

    /// Notes that the receiver asked for a pause.
    pub(super) fn pause(&mut self, until: Instant) {
        self.paused = Some(self.paused.map_or(until, |paused| paused.max(until)));
    }

    /// Whether every attempt has failed for so long that the endpoint is to be disabled.
    pub(super) fn is_hopeless(&self, after: Duration, now: Time) -> bool {
        self.failures >= ATTEMPTS && self.failing_since.is_some_and(|since| now.since(since) >= after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Position;

    const RETRIES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];

    fn of(number: u128) -> (Option<ReplayId>, Key) {
        (None, (ConversationId::known(uuid::Uuid::from_u128(number)), Position::START))
    }

    fn at(now: Instant, seconds: u64) -> (Instant, Time) {
        let time: Time = "2026-11-24T13:10:00Z".parse().expect("a time");
        (now + Duration::from_secs(seconds), time.plus(Duration::from_secs(seconds)))
    }

    #[test]
    fn a_lost_connection_opens_it_at_once_and_only_the_probe_makes_the_wait_longer() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        breaker.failed(of(1), Fault::Connection, &RETRIES, at(now, 0));
        breaker.failed(of(2), Fault::Connection, &RETRIES, at(now, 1));
        assert_eq!(breaker.permit(now), Permit::Nothing(now + RETRIES[0]));
        assert_eq!(breaker.permit(now + RETRIES[0]), Permit::Probe);
        breaker.probes(of(1).0, of(1).1);
        assert!(!breaker.failed(of(1), Fault::Connection, &RETRIES, at(now, 10)));
        assert_eq!(breaker.permit(at(now, 69).0), Permit::Nothing(at(now, 70).0));
        assert!(breaker.succeeded() && breaker.permit(now) == Permit::All && breaker.failures == 0);
    }

    #[test]
    fn a_probe_that_was_not_sent_makes_room_for_another_one() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        breaker.failed(of(1), Fault::Connection, &RETRIES, at(now, 0));
        let due = now + RETRIES[0];
        breaker.probes(of(1).0, of(1).1);
        breaker.was_not_sent(of(2));
        assert_eq!(breaker.permit(due), Permit::Nothing(due + PATIENCE));
        breaker.was_not_sent(of(1));
        assert_eq!((breaker.permit(due), breaker.failures), (Permit::Probe, 1));
    }

    #[test]
    fn a_probe_that_is_refused_closes_it_and_one_that_gets_an_error_does_unless_ten_conversations_do() {
        let now = Instant::now();
        for fault in [Fault::Refused, Fault::Server] {
            let mut breaker = Breaker::default();
            // Connections that were lost say nothing about events.
            for number in 0..50 {
                assert!(!breaker.failed(of(number), Fault::Connection, &RETRIES, at(now, 0)));
            }
            breaker.probes(of(1).0, of(1).1);
            assert!(!breaker.failed(of(2), fault, &RETRIES, at(now, 1)), "it was in flight before");
            assert!(breaker.failed(of(1), fault, &RETRIES, at(now, 6)));
            assert_eq!(breaker.permit(at(now, 6).0), Permit::All);
            assert_eq!(breaker.failing_since, Some(at(now, 0).1), "no event was taken");
            breaker.failed(of(2), Fault::Connection, &RETRIES, at(now, 7));
            assert_eq!(breaker.permit(at(now, 66).0), Permit::Nothing(at(now, 67).0), "the waits grow");
        }
        let mut breaker = Breaker::default();
        for number in 0..CONVERSATIONS as u128 {
            breaker.failed(of(number), Fault::Server, &RETRIES, at(now, 0));
        }
        breaker.probes(of(1).0, of(1).1);
        assert!(!breaker.failed(of(1), Fault::Server, &RETRIES, at(now, 6)));
        assert_eq!(breaker.permit(at(now, 65).0), Permit::Nothing(at(now, 66).0));
        breaker.probes(of(1).0, of(1).1);
        assert!(breaker.failed(of(1), Fault::Refused, &RETRIES, at(now, 66)) && !breaker.is_open());
    }

    #[test]
    fn one_conversation_that_fails_opens_nothing_and_ten_do() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..50 {
            breaker.failed(of(1), Fault::Server, &RETRIES, at(now, 0));
        }
        for number in 0..50 {
            breaker.failed(of(number), Fault::Refused, &RETRIES, at(now, 0));
        }
        assert!(!breaker.is_open());
        for number in 1..=CONVERSATIONS as u128 {
            assert!(!breaker.is_open(), "{number}");
            breaker.failed(of(number), Fault::Server, &RETRIES, at(now, 0));
        }
        assert!(breaker.is_open());
    }

    #[test]
    fn an_endpoint_is_hopeless_after_days_of_failures_alone() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        let days = Duration::from_secs(3 * 86_400);
        for _ in 0..9 {
            breaker.failed(of(1), Fault::Refused, &RETRIES, at(now, 0));
        }
        assert!(!breaker.is_hopeless(days, at(now, 3 * 86_400).1), "too few attempts");
        breaker.failed(of(1), Fault::Refused, &RETRIES, at(now, 1));
        assert!(!breaker.is_hopeless(days, at(now, 3 * 86_400 - 1).1));
        assert!(breaker.is_hopeless(days, at(now, 3 * 86_400).1));
        breaker.succeeded();
        assert!(!breaker.is_hopeless(days, at(now, 9 * 86_400).1));
    }

    #[test]
    fn a_pause_that_the_receiver_asks_for_holds_for_all() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        breaker.pause(at(now, 9).0);
        breaker.pause(at(now, 3).0);
        breaker.succeeded();
        assert_eq!(breaker.permit(at(now, 8).0), Permit::Nothing(at(now, 9).0));
        assert_eq!(breaker.permit(at(now, 9).0), Permit::All);
    }
}
