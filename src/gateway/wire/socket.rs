//! One upgraded connection that any task may write to. Frames go straight to the kernel. Frames that do not fit there
//! are queued, up to a limit, for the task that reads the socket.

use std::{
    borrow::Cow,
    convert::Infallible,
    io::{self, IoSlice, Write as _},
    iter,
    net::Shutdown,
    os::fd::AsFd,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::{net::TcpStream, select, sync::Notify, time::Instant};

use crate::{
    gateway::wire::{
        backlog::{BATCH, Backlog},
        close::Close,
        durable::{Durable, HeldFrames, Tag},
        hearing::Hearing,
        limits::SocketLimits,
        secured::{Secured, Straight, Told},
    },
    listen::Link,
};

/// The part of a connection that all tasks that write to it share.
pub struct Socket {
    pub(in crate::gateway) stream: TcpStream,
    pub(in crate::gateway) limits: SocketLimits,
    /// Wakes the reading task when frames are queued or the phase has changed.
    pub(in crate::gateway) wake: Notify,
    out: Mutex<Out>,
    /// TLS, if the connection uses it. Writers lock it while they hold the lock of `out`; readers lock only this one.
    tls: Option<Mutex<Secured>>,
    /// Tracks when the client was last heard.
    pub(in crate::gateway) hearing: Hearing,
}

struct Out {
    phase: Phase,
    waiting: Backlog,
    /// `None` if the socket is not on hold. Boxed, because most sockets are not.
    held: Option<Box<HeldFrames>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Phase {
    Open,
    /// The close frame is being sent.
    Closing(Close, Instant),
    /// Nothing can be written any more. Carries the server's reason for the close, if there is one.
    Gone(Option<Close>),
}

impl Socket {
    /// The writing half of a connection. [`Socket::open`] makes both halves.
    pub(super) fn new(link: Link, limits: SocketLimits) -> Self {
        let out = Out { phase: Phase::Open, waiting: Backlog::default(), held: None };
        Self {
            stream: link.tcp,
            limits,
            wake: Notify::new(),
            out: Mutex::new(out),
            tls: link.tls.map(|tls| Mutex::new(Secured::by(tls))),
            hearing: Hearing::new(Instant::now()),
        }
    }

    /// Whether frames are still accepted. Sending to a socket that is not open does nothing.
    pub fn is_open(&self) -> bool {
        self.phase() == Phase::Open
    }

    /// Sends an answer or a heartbeat, at once or after the backlog. If the backlog exceeds its limit, the socket
    /// closes with [`Close::SLOW_CONSUMER`].
    pub fn send(&self, frame: &Bytes) {
        let mut out = self.out();
        if out.phase == Phase::Open {
            self.put(&mut out, iter::once(frame));
        }
    }

    /// Sends a frame that tells the client its position. Does nothing while the socket is on hold, because the client
    /// has not reached that position yet.
    pub fn send_if_live(&self, frame: &Bytes) {
        let mut out = self.out();
        if out.phase == Phase::Open && out.held.is_none() {
            self.put(&mut out, iter::once(frame));
        }
    }

    /// Sends many answers with as few system calls as possible.
    pub fn send_all(&self, frames: &[Bytes]) {
        let mut out = self.out();
        if out.phase == Phase::Open {
            self.put(&mut out, frames.iter());
        }
    }

    /// Sends durable frames in order with as few system calls as possible, or keeps them while the socket is on hold.
    /// If they exceed the limit of the backlog, the socket closes with [`Close::SLOW_CONSUMER`], or forgets the kept
    /// frames ([`holds_all`](Self::holds_all)).
    pub fn deliver<'a>(&self, frames: impl IntoIterator<Item = &'a Durable>) {
        let mut out = self.out();
        if out.phase != Phase::Open {
            return;
        }
        if out.held.is_none() {
            return self.put(&mut out, frames.into_iter().map(|durable| &durable.frame));
        }
        for durable in frames {
            let has_room = self.has_room(&out, &durable.frame);
            let Some(held) = &mut out.held else { return };
            held.keep(durable, has_room);
        }
    }

    /// Sends a frame that matters only now (typing, presence), or drops it if other frames are queued or the socket is
    /// on hold. Returns whether the frame was sent.
    pub fn offer(&self, frame: &Bytes) -> bool {
        let mut out = self.out();
        if out.phase != Phase::Open || out.held.is_some() || !out.waiting.is_empty() {
            return false;
        }
        let written = self.write(&mut out, &[frame]);
        if (1..frame.len()).contains(&written) {
            out.waiting.push_rest(frame, written);
            self.wake.notify_one();
        }
        written > 0
    }

    /// Keeps durable frames from now on without writing them, until [`release`](Self::release). Forgets those that an
    /// earlier hold has kept.
    pub fn hold(&self) {
        self.out().held = Some(Box::default());
    }

    /// Whether all durable frames since [`hold`](Self::hold) are kept.
    pub fn holds_all(&self) -> bool {
        self.out().held.as_ref().is_some_and(|held| !held.is_overfull())
    }

    /// Sends `first`, then those durable frames since [`hold`](Self::hold) that `keep` accepts, and ends the hold.
    /// `keep` runs under the socket's lock. If there were too many frames, the socket closes with
    /// [`Close::SLOW_CONSUMER`] instead.
    pub fn release(&self, first: &Bytes, mut keep: impl FnMut(&Tag) -> bool) {
        let mut out = self.out();
        let held = out.held.take().unwrap_or_default();
        if held.is_overfull() {
            self.shut(&mut out, Close::SLOW_CONSUMER);
        } else if out.phase == Phase::Open {
            let kept =
                held.frames().iter().filter(|durable| keep(&durable.tag)).map(|durable| &durable.frame);
            self.put(&mut out, iter::once(first).chain(kept));
        }
    }

    /// Closes the socket after the backlog has been written; held frames are dropped. Only the first reason counts.
    pub fn close(&self, why: Close) {
        self.shut(&mut self.out(), why);
        self.flush();
    }

    /// Waits until the backlog is empty, so that a resume goes at the client's pace. Returns `false` if the socket is
    /// no longer open. The caller sets the deadline.
    pub async fn drained(&self) -> bool {
        while !self.flush() {
            if !self.is_open() || self.stream.writable().await.is_err() {
                return false;
            }
        }
        self.is_open()
    }

    /// Runs `work` in the task that reads the socket, and writes the backlog meanwhile. The client's bytes are not read
    /// until the work is done, so the client does not count as silent during this time.
    pub async fn during<F: Future>(&self, work: F) -> F::Output {
        let _deaf = self.hearing.off();
        let work = pin!(work);
        select! {
            biased;
            done = work => done,
            never = self.keep_writing() => match never {},
        }
    }

    async fn keep_writing(&self) -> Infallible {
        loop {
            if self.flush() || self.stream.writable().await.is_err() {
                self.wake.notified().await;
            }
        }
    }

    pub(in crate::gateway) fn phase(&self) -> Phase {
        self.out().phase
    }

    /// Writes as much of the backlog as the kernel takes. Returns whether nothing is left to write.
    pub(in crate::gateway) fn flush(&self) -> bool {
        let mut out = self.out();
        loop {
            match self.flush_tls() {
                Ok(true) if out.waiting.is_empty() => return true,
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => {
                    out.end();
                    return true;
                }
            }
            let mut slices = [IoSlice::new(&[]); BATCH];
            let filled = out.waiting.front(&mut slices);
            let mut told = Told(&self.stream);
            let written = match self.tls() {
                None => told.write_vectored(&slices[..filled]),
                Some(mut tls) => tls.write(&mut slices[..filled], &mut told),
            };
            match written {
                Ok(written) => out.waiting.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => out.end(),
            }
        }
    }

    /// Flushes the bytes that TLS has encrypted.
    fn flush_tls(&self) -> io::Result<bool> {
        self.tls().map_or(Ok(true), |mut tls| tls.flush(&mut Told(&self.stream)))
    }

    /// Reads once into `buffer`. Returns the decrypted bytes, or `None` at the end of the stream.
    pub(super) fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<Cow<'a, [u8]>>> {
        let read = self.stream.try_read(buffer)?;
        let Some(mut tls) = self.tls().filter(|_| read > 0) else {
            return Ok(if read > 0 { Some(Cow::Borrowed(&buffer[..read])) } else { None });
        };
        let deciphered = tls.read(&buffer[..read]).inspect_err(|_| {
            // A TLS alert tells the client the reason.
            let _ = tls.flush(&mut Straight(&self.stream));
        })?;
        if deciphered.is_last {
            // This makes the next read find the end, even if the client keeps its connection open.
            self.shut_down_tcp(Shutdown::Read);
        }
        Ok(Some(Cow::Owned(deciphered.bytes)))
    }

    /// Drops the backlog and makes the kernel end the connection, even while other tasks still hold the socket.
    pub(in crate::gateway) fn end(&self) {
        self.out().end();
        self.shut_down(Shutdown::Both);
    }

    /// Closes one or both directions of the connection.
    pub(in crate::gateway) fn shut_down(&self, how: Shutdown) {
        if let Some(mut tls) = self.tls() {
            tls.say_last(&mut Straight(&self.stream));
        }
        self.shut_down_tcp(how);
    }

    fn shut_down_tcp(&self, how: Shutdown) {
        // A second descriptor is the safe way to call `shutdown` of `std`. If none can be made (no file descriptor is
        // left), the connection ends when its last owner drops the socket.
        if let Ok(same) = self.stream.as_fd().try_clone_to_owned() {
            let _ = std::net::TcpStream::from(same).shutdown(how);
        }
    }

    fn out(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tls(&self) -> Option<MutexGuard<'_, Secured>> {
        self.tls.as_ref().map(|tls| tls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn has_room(&self, out: &Out, frame: &Bytes) -> bool {
        let (held, held_bytes) = out.held.as_ref().map_or((0, 0), |held| (held.frames().len(), held.bytes()));
        let frames = out.waiting.frames() + held;
        let bytes = out.waiting.bytes() + held_bytes;
        frames == 0 || frames < self.limits.frames && bytes + frame.len() <= self.limits.bytes
    }

    fn put<'a>(&self, out: &mut Out, mut frames: impl Iterator<Item = &'a Bytes>) {
        while out.waiting.is_empty() && out.phase == Phase::Open {
            let Some(first) = frames.next() else { return };
            let mut batch = [first; BATCH];
            let mut count = 1;
            for (place, frame) in batch[1..].iter_mut().zip(frames.by_ref()) {
                *place = frame;
                count += 1;
            }
            let mut written = self.write(out, &batch[..count]);
            for frame in &batch[..count] {
                let of_this = written.min(frame.len());
                written -= of_this;
                if of_this < frame.len() && !self.queue(out, frame, of_this) {
                    return;
                }
            }
        }
        for frame in frames {
            if !self.queue(out, frame, 0) {
                return;
            }
        }
        self.wake.notify_one();
    }

    /// Appends the rest of a frame to the backlog. Returns `false` if the socket is not open or is closed by this call.
    fn queue(&self, out: &mut Out, frame: &Bytes, written: usize) -> bool {
        if out.phase != Phase::Open {
            return false;
        }
        let fits = self.has_room(out, frame);
        if fits || written > 0 {
            out.waiting.push_rest(frame, written);
        }
        if !fits {
            self.shut(out, Close::SLOW_CONSUMER);
        }
        fits
    }

    fn shut(&self, out: &mut Out, why: Close) {
        if out.phase != Phase::Open {
            return;
        }
        out.phase = Phase::Closing(why, Instant::now());
        why.count();
        out.held = None;
        if why == Close::SLOW_CONSUMER {
            // The client does not read, so the backlog is dropped. The client resumes after its last event.
            out.waiting.keep_begun();
        }
        out.waiting.push(why.frame());
        self.wake.notify_one();
    }

    /// Writes as much of `frames` as the kernel takes now. The call goes straight to the kernel and does not check
    /// tokio's readiness of the socket, which is in no CPU cache when a frame arrives. [`flush`](Self::flush) goes
    /// through tokio.
    fn write(&self, out: &mut Out, frames: &[&Bytes]) -> usize {
        let mut slices = [IoSlice::new(&[]); BATCH];
        for (slice, frame) in slices.iter_mut().zip(frames) {
            *slice = IoSlice::new(frame);
        }
        let slices = &mut slices[..frames.len().min(BATCH)];
        let mut straight = Straight(&self.stream);
        let written = match self.tls() {
            None => straight.write_vectored(slices),
            Some(mut tls) => {
                let written = tls.write(slices, &mut straight);
                if tls.is_behind() {
                    self.wake.notify_one();
                }
                written
            }
        };
        match written {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                out.end();
                self.wake.notify_one();
                0
            }
        }
    }
}

impl Out {
    fn end(&mut self) {
        if let Phase::Open = self.phase {
            self.phase = Phase::Gone(None);
            Close::count_lost();
        } else if let Phase::Closing(said, _) = self.phase {
            self.phase = Phase::Gone(Some(said));
        }
        (self.waiting, self.held) = (Backlog::default(), None);
    }
}

#[cfg(test)]
mod tests;
