//! Turns the time that work waits into a level of refusal.

use std::time::Duration;

use super::work::WorkKind;

/// The shortest waits since the last measurement, one for each resource: even the luckiest piece of work had to wait
/// this long. A burst makes the longest wait long but leaves the shortest one short; only a queue that never empties
/// makes the shortest one long. The wait is zero where nothing had to wait. `None`: waiting work was not served, so the
/// wait is unknown; the cause may be an outage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// The wait for a thread of this process.
    pub processor: Option<Duration>,
    /// The wait for a connection to Postgres.
    pub database: Option<Duration>,
    /// The wait for an acknowledgement of the log.
    pub log: Option<Duration>,
}

/// How much a node refuses: level n refuses the first n kinds of [`WorkKind::ALL`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

impl Level {
    pub(super) fn of_number(number: u8) -> Self {
        Self(number)
    }

    /// From 0, where nothing is refused, to 8, where everything is.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Whether a kind of work is refused.
    pub fn refuses(self, work: WorkKind) -> bool {
        (work as u8) < self.0
    }

    /// The last kind of work that is refused; `None` if nothing is.
    pub fn last(self) -> Option<WorkKind> {
        WorkKind::ALL.get(usize::from(self.0).checked_sub(1)?).copied()
    }

    /// The level after a measurement, at most one step away. So each refusal takes effect before more is refused, and a
    /// single long wait, as after an outage, refuses next to nothing. A kind of work is refused as soon as waits reach
    /// its threshold, and stays refused until all waits are known to be below half of the threshold: otherwise the
    /// level would go up and down at every measurement.
    #[must_use]
    pub fn next(self, waits: Waits, least: Duration) -> Self {
        let reached = waits.level(least, 1);
        let stays = waits.level(least, 2);
        if reached > self {
            Self(self.0 + 1)
        } else if stays < self && waits.are_known() {
            Self(self.0 - 1)
        } else {
            self
        }
    }
}

impl Waits {
    /// The level for waits that are `times` times as long as these.
    fn level(self, least: Duration, times: u32) -> Level {
        let of = |wait: Option<Duration>| {
            let wait = wait.unwrap_or_default() * times;
            let refused = WorkKind::ALL.iter().filter(|work| wait >= work.refused_from(least));
            Level(refused.count() as u8)
        };
        // Refusing sends would not relieve Postgres, so waits for Postgres refuse everything but sends.
        let most = Level(WorkKind::Send as u8);
        of(self.processor).max(of(self.log)).max(of(self.database).min(most))
    }

    fn are_known(self) -> bool {
        [self.processor, self.database, self.log].iter().all(Option::is_some)
    }

    /// The longest wait, with the name of its resource.
    pub fn worst(self) -> (&'static str, Duration) {
        let waits = [("processor", self.processor), ("database", self.database), ("log", self.log)];
        let waits = waits.map(|(cause, wait)| (cause, wait.unwrap_or_default()));
        waits.into_iter().max_by_key(|(_, wait)| *wait).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(200);

    const NONE: Waits =
        Waits { processor: Some(Duration::ZERO), database: Some(Duration::ZERO), log: Some(Duration::ZERO) };

    fn processor(wait: u64) -> Waits {
        Waits { processor: Some(Duration::from_millis(wait)), ..NONE }
    }

    fn settled(waits: Waits) -> u8 {
        let mut level = Level::default();
        for _ in 0..20 {
            level = level.next(waits, LEAST);
        }
        level.number()
    }

    #[test]
    fn the_longer_the_wait_the_more_is_refused() {
        let waits = [0, 199, 200, 250, 300, 400, 600, 800, 1_200, 1_999, 2_000, 60_000];
        let levels = waits.map(|wait| settled(processor(wait)));
        assert_eq!(levels, [0, 0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 8]);
    }

    #[test]
    fn a_level_is_left_when_waits_are_half_as_long_and_each_look_is_one_step() {
        let mut level = Level::default();
        for step in 1..=8 {
            level = level.next(processor(9_000), LEAST);
            assert_eq!(level.number(), step);
        }
        assert_eq!(level.next(processor(1_000), LEAST), level, "half of what all takes");
        level = level.next(processor(999), LEAST);
        assert_eq!(level.number(), 7);
        for step in (0..7).rev() {
            assert_eq!(level.next(Waits { log: None, ..NONE }, LEAST), level, "it is not known");
            level = level.next(NONE, LEAST);
            assert_eq!(level.number(), step);
        }
        assert_eq!(level.next(NONE, LEAST), level);
    }

    #[test]
    fn the_longest_wait_counts_and_postgres_refuses_no_send() {
        let long = Some(Duration::from_secs(60));
        let database = Waits { database: long, ..processor(250) };
        assert_eq!((settled(database), database.worst().0), (7, "database"));
        let log = Waits { log: long, ..database };
        assert_eq!(settled(log), 8);
        assert_eq!((settled(NONE), settled(Waits::default())), (0, 0));
    }

    #[test]
    fn a_level_refuses_the_first_kinds_of_the_table() {
        for (number, last) in (0..=8).zip(std::iter::once(None).chain(WorkKind::ALL.map(Some))) {
            let level = Level::of_number(number);
            assert_eq!(level.last(), last);
            let refused = WorkKind::ALL.into_iter().filter(|work| level.refuses(*work)).count();
            assert_eq!(refused, usize::from(number));
        }
    }
}
