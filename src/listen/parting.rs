//! The graceful end of a connection.

use std::{io, time::Duration};

use tokio::{io::AsyncWriteExt as _, time::timeout};

use crate::listen::stream::Stream;

/// Closes the writing half, then keeps reading for a moment. Closing a socket that still has unread bytes resets the
/// connection, and the client would never see the reason for the refusal.
pub(super) async fn part(mut stream: Stream) {
    const MOMENT: Duration = Duration::from_secs(1);
    const MOST: usize = 1024 * 1024;
    let _ = timeout(MOMENT, async {
        stream.shutdown().await?;
        let (tcp, mut read) = (stream.tcp(), 0);
        while read < MOST {
            tcp.readable().await?;
            match tcp.try_read(&mut [0; 4096]) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
    .await;
}
