//! The backlog of one socket: whole frames, and possibly the rest of one at the front. An empty backlog allocates no
//! memory.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};

use crate::telemetry::SOCKETS;

/// The most frames that one system call writes.
pub(in crate::gateway) const BATCH: usize = 64;

#[derive(Debug, Default)]
pub(in crate::gateway) struct Backlog {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// Whether the front frame has been partly written. Its rest must then follow before any other frame.
    is_begun: bool,
}

impl Backlog {
    pub(in crate::gateway) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(in crate::gateway) fn frames(&self) -> usize {
        self.frames.len()
    }

    pub(in crate::gateway) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::gateway) fn push(&mut self, frame: Bytes) {
        self.has(self.bytes + frame.len());
        self.frames.push_back(frame);
    }

    /// Appends a frame without its first `written` bytes.
    pub(in crate::gateway) fn push_rest(&mut self, frame: &Bytes, written: usize) {
        self.is_begun |= self.frames.is_empty() && written > 0;
        self.push(frame.slice(written..));
    }

    /// Fills `slices` from the front, and returns how many it filled.
    pub(in crate::gateway) fn front<'a>(&'a self, slices: &mut [IoSlice<'a>; BATCH]) -> usize {
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(frame);
        }
        self.frames.len().min(BATCH)
    }

    /// Removes the first `written` bytes of the backlog.
    pub(in crate::gateway) fn advance(&mut self, mut written: usize) {
        self.has(self.bytes - written);
        while let Some(front) = self.frames.front_mut() {
            if written < front.len() {
                self.is_begun |= written > 0;
                front.advance(written);
                return;
            }
            written -= front.len();
            self.is_begun = false;
            self.frames.pop_front();
        }
        *self = Self::default();
    }

    /// Removes everything but the rest of a frame that has been partly written.
    pub(in crate::gateway) fn keep_begun(&mut self) {
        self.frames.truncate(usize::from(self.is_begun));
        self.frames.shrink_to_fit();
        self.has(self.frames.front().map_or(0, Bytes::len));
    }

    /// Records how many bytes are queued, here and in the metrics of all sockets.
    fn has(&mut self, bytes: usize) {
        if bytes != self.bytes {
            SOCKETS.backlog.inc_by(bytes as i64 - self.bytes as i64);
            self.bytes = bytes;
        }
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.has(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(frames: &[&'static str]) -> Backlog {
        let mut backlog = Backlog::default();
        for frame in frames {
            backlog.push(Bytes::from_static(frame.as_bytes()));
        }
        backlog
    }

    fn content(backlog: &Backlog) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); BATCH];
        let filled = backlog.front(&mut slices);
        let content = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect::<Vec<_>>();
        assert_eq!((filled, content.len()), (backlog.frames(), backlog.bytes()));
        content
    }

    #[test]
    fn any_way_of_advancing_leaves_the_bytes_that_follow() {
        for step in 1..=9 {
            let mut backlog = backlog(&["abc", "d", "efghi"]);
            for written in (step..=9).step_by(step) {
                backlog.advance(step);
                assert_eq!(content(&backlog), b"abcdefghi"[written..]);
            }
        }
        let mut all = backlog(&["abc", "d"]);
        all.advance(4);
        assert!(all.is_empty() && all.frames.capacity() == 0);
    }

    #[test]
    fn only_the_rest_of_a_begun_frame_must_be_kept() {
        let kept = |mut backlog: Backlog| {
            backlog.keep_begun();
            content(&backlog)
        };
        let after = |written| {
            let mut backlog = backlog(&["abc", "def"]);
            backlog.advance(written);
            backlog
        };
        assert_eq!(kept(after(0)), b"");
        assert_eq!(kept(after(1)), b"bc");
        assert_eq!(kept(after(3)), b"");
        assert_eq!(kept(after(4)), b"ef");
        let mut direct = Backlog::default();
        direct.push_rest(&Bytes::from_static(b"abc"), 2);
        direct.push_rest(&Bytes::from_static(b"def"), 0);
        assert_eq!(kept(direct), b"c");
    }
}
