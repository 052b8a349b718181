//! The frames of a client that wait for its session to begin.

use std::collections::VecDeque;

/// The most frames that wait: more than a client may send at once.
const FRAMES: usize = 64;
/// The most bytes that wait.
const BYTES: usize = 64 * 1024;

/// Frames in the order in which they arrived.
#[derive(Default)]
pub(super) struct Early(VecDeque<String>);

impl Early {
    /// Whether one more frame may wait.
    pub(super) fn has_room(&self, text: &str) -> bool {
        let bytes: usize = self.0.iter().map(String::len).sum();
        self.0.len() < FRAMES && bytes + text.len() <= BYTES
    }

    pub(super) fn keep(&mut self, text: String) {
        self.0.push_back(text);
    }

    pub(super) fn next(&mut self) -> Option<String> {
        self.0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many frames of this size may wait.
    fn most(bytes: usize) -> usize {
        let (mut early, text) = (Early::default(), "x".repeat(bytes));
        while early.has_room(&text) {
            early.keep(text.clone());
        }
        early.0.len()
    }

    #[test]
    fn few_frames_with_few_bytes_may_wait() {
        assert_eq!([1, 1_024, 1_025, 60_000, 65_536, 65_537].map(most), [64, 64, 63, 1, 1, 0]);
    }
}
