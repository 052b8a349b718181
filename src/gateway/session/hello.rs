//! The first frame of a session.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    gateway::{
        frames::{
            client::{ClientFrame, FrameId},
            close::Close,
            filter::Filter,
        },
        session::answers::{refuse, refuse_bad},
        wire::{
            incoming::{Event, Incoming},
            socket::Socket,
        },
    },
    telemetry::SOCKETS,
};

/// The time within which a client has to send its `hello`.
const HELLO: Duration = Duration::from_secs(10);

/// The fields of the first frame.
pub(super) type Hello = (Option<FrameId>, Option<String>, Option<Filter>);

/// Waits for the first frame.
pub(super) async fn hello(socket: &Socket, incoming: &mut Incoming) -> Option<Hello> {
    match timeout(HELLO, incoming.next()).await {
        Err(_) => {}
        Ok(Event::Gone(_)) => return None,
        Ok(Event::Text(text)) => match ClientFrame::read(&text) {
            Ok(ClientFrame::Hello { id, cursor, filter }) => {
                SOCKETS.frame("hello");
                return Some((id, cursor, filter));
            }
            Ok(frame) => {
                let detail = r#"send {"op":"hello"} before anything else"#;
                refuse(socket, frame.id(), "hello_first", detail, None);
            }
            Err(bad) => refuse_bad(socket, &bad),
        },
    }
    socket.close(Close::NO_HELLO);
    None
}
