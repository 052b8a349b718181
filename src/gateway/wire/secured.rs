//! TLS under a socket. A burst of frames becomes one record, written by one system call.

use std::io::{self, IoSlice, Read as _, Write};

use rustix::net::SendFlags;
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConnection;

/// The TLS state of one connection.
pub(in crate::gateway) struct Secured(Box<ServerConnection>);

/// Decrypted bytes from the client.
pub(in crate::gateway) struct Deciphered {
    pub(in crate::gateway) bytes: Vec<u8>,
    /// Whether the client has sent `close_notify`, so that no more data follows.
    pub(in crate::gateway) is_last: bool,
}

impl Secured {
    pub(in crate::gateway) fn by(connection: Box<ServerConnection>) -> Self {
        Self(connection)
    }

    /// Encrypts and writes as many bytes as `to` takes, and returns how many bytes of `frames` were encrypted. A record
    /// is encrypted as a whole, so some of these bytes may still be queued here until the next [`flush`](Self::flush).
    pub(in crate::gateway) fn write(
        &mut self,
        mut frames: &mut [IoSlice<'_>],
        to: &mut impl Write,
    ) -> io::Result<usize> {
        let mut taken = 0;
        while self.flush(to)? && !frames.is_empty() {
            let some = self.0.writer().write_vectored(frames)?;
            IoSlice::advance_slices(&mut frames, some);
            taken += some;
        }
        Ok(taken)
    }

    /// Writes the queued encrypted bytes. Returns whether none are left.
    pub(in crate::gateway) fn flush(&mut self, to: &mut impl Write) -> io::Result<bool> {
        while self.0.wants_write() {
            match self.0.write_tls(to) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether encrypted bytes are queued until the kernel has room.
    pub(in crate::gateway) fn is_behind(&self) -> bool {
        self.0.wants_write()
    }

    /// Decrypts the bytes that have arrived.
    pub(in crate::gateway) fn read(&mut self, mut came: &[u8]) -> io::Result<Deciphered> {
        let mut bytes = Vec::new();
        loop {
            // One call of `read_tls` takes only a limited number of bytes, and none after the last record.
            let is_taken = self.0.read_tls(&mut came)? > 0;
            let state = self.0.process_new_packets().map_err(io::Error::other)?;
            let (from, more) = (bytes.len(), state.plaintext_bytes_to_read());
            bytes.resize(from + more, 0);
            self.0.reader().read_exact(&mut bytes[from..])?;
            if !is_taken || came.is_empty() {
                return Ok(Deciphered { bytes, is_last: state.peer_has_closed() });
            }
        }
    }

    /// Sends `close_notify`, so that the client knows that the stream was not truncated.
    pub(in crate::gateway) fn say_last(&mut self, to: &mut impl Write) {
        self.0.send_close_notify();
        let _ = self.flush(to);
    }
}

/// Writes straight to the kernel, without tokio. `Socket::write` explains why.
pub(in crate::gateway) struct Straight<'a>(pub(in crate::gateway) &'a TcpStream);

impl Write for Straight<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.0, bytes, SendFlags::empty())?)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => self.write(one),
            slices => Ok(rustix::io::writev(self.0, slices)?),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes through tokio, so that tokio notices a full kernel buffer and a task can wait for room.
pub(in crate::gateway) struct Told<'a>(pub(in crate::gateway) &'a TcpStream);

impl Write for Told<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
