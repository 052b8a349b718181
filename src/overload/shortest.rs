//! The shortest of many waits.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The shortest wait since it was last taken. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shortest(Arc<Mutex<Noted>>);

#[derive(Debug, Clone, Copy, Default)]
struct Noted {
    shortest: Option<Duration>,
    count: u32,
}

impl Shortest {
    /// Notes a wait that has ended.
    pub fn note(&self, wait: Duration) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.shortest = Some(noted.shortest.map_or(wait, |shortest| shortest.min(wait)));
        noted.count += 1;
    }

    /// Returns how many waits have ended and the shortest of them, then starts over. Fewer than `least` waits are kept
    /// for the next call, and the shortest is `None`.
    pub fn take(&self, least: u32) -> (u32, Option<Duration>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.count < least {
            return (noted.count, None);
        }
        let Noted { shortest, count } = std::mem::take(&mut *noted);
        (count, shortest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_wait_counts_once() {
        let shortest = Shortest::default();
        assert_eq!(shortest.take(0), (0, None));
        for wait in [7, 3, 5] {
            shortest.note(Duration::from_millis(wait));
        }
        assert_eq!(shortest.take(4), (3, None), "too few");
        assert_eq!(shortest.take(3), (3, Some(Duration::from_millis(3))), "and kept");
        assert_eq!(shortest.take(0), (0, None));
    }
}
