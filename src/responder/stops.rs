//! Whether this process has just been stopped: by a signal, with its machine, or for want of a processor. A command that
//! came in the meantime may have waited as long.

use std::time::Duration;

use tokio::time::Instant;

/// The time between two looks at the clock.
pub(super) const PULSE: Duration = Duration::from_secs(1);

/// The last stop.
#[derive(Debug, Default)]
pub(super) struct Stops(Option<Stop>);

#[derive(Debug)]
struct Stop {
    end: Instant,
    length: Duration,
}

impl Stops {
    /// Notes a look at the clock that was due at `due`.
    pub(super) fn look(&mut self, due: Instant, now: Instant) {
        let length = now.saturating_duration_since(due);
        if length >= PULSE {
            self.0 = Some(Stop { end: now, length });
        }
    }

    /// How long a command may have waited that is taken now. What came during a stop is taken right after it.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let recent = self.0.as_ref().filter(|stop| now.saturating_duration_since(stop.end) < PULSE);
        recent.map_or(Duration::ZERO, |stop| stop.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_right_after_a_stop_may_be_as_old() {
        let (mut stops, begin) = (Stops::default(), Instant::now());
        let at = |ms| begin + Duration::from_millis(ms);
        stops.look(at(1_000), at(1_900));
        assert_eq!(stops.wait(at(1_900)), Duration::ZERO, "a busy process is not a stopped one");
        stops.look(at(2_900), at(8_000));
        assert_eq!(stops.wait(at(8_999)), Duration::from_millis(5_100));
        assert_eq!(stops.wait(at(9_000)), Duration::ZERO);
        stops.look(at(9_000), at(9_001));
        assert_eq!(stops.wait(at(9_001)), Duration::ZERO);
    }
}
