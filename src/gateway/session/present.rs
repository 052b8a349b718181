//! The presence of a session on this node.

use std::sync::Arc;

use crate::{
    gateway::hub::listeners::{Listener, Listeners, Session},
    telemetry::METRICS,
};

/// A session is counted, and can be closed, while this value exists. When the session ends, even by a panic, it leaves
/// its listener. The rest of the node then learns whether the session was online and, if it was the last one, of which
/// listener.
pub(super) struct Present<'a, F: FnMut(bool, Option<Arc<Listener>>)> {
    listeners: &'a Listeners,
    session: &'a Session,
    pub(super) is_online: bool,
    has_left: F,
}

impl<'a, F: FnMut(bool, Option<Arc<Listener>>)> Present<'a, F> {
    pub(super) fn new(listeners: &'a Listeners, session: &'a Arc<Session>, has_left: F) -> Self {
        METRICS.sessions.inc();
        listeners.begin(session);
        Self { listeners, session, is_online: false, has_left }
    }
}

impl<F: FnMut(bool, Option<Arc<Listener>>)> Drop for Present<'_, F> {
    fn drop(&mut self) {
        METRICS.sessions.dec();
        (self.has_left)(self.is_online, self.listeners.leave(self.session));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::{
        clock::Clock,
        credentials::{Identity, Proof, Scopes},
        domain::{LoginId, UserId},
        gateway::wire::{limits::SocketLimits, socket::Socket},
    };

    #[tokio::test]
    async fn a_session_that_panics_frees_its_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (stream, _) = listener.accept().await.expect("accepted");
        let (socket, incoming) = Socket::open(stream, Bytes::new(), SocketLimits::default());
        let clock = Clock::system();
        let (user, login) = (clock.id(UserId::known), clock.id(LoginId::known));
        let (proof, scopes) = (Proof::Login, Scopes::PERSON);
        let caller = Identity { user, login, proof, expires_at: clock.now(), via: None, scopes };
        let session = Session::new(clock.id(std::convert::identity), &caller, socket, None);
        let listeners = Arc::<Listeners>::default();
        let told = Arc::<Mutex<Vec<(bool, bool)>>>::default();
        let (here, noted) = (listeners.clone(), told.clone());
        let panicked = tokio::spawn(async move {
            let _incoming = incoming;
            here.enter(&session);
            let mut present = Present::new(&here, &session, |was_online, last| {
                noted.lock().expect("no panic").push((was_online, last.is_some()));
            });
            present.is_online = true;
            panic!("as this test wants it");
        });
        assert!(panicked.await.expect_err("it panicked").is_panic());
        assert!(listeners.get(user).is_none() && listeners.sessions().is_empty());
        assert_eq!(*told.lock().expect("no panic"), [(true, true)]);
        client.readable().await.expect("the end is told");
        assert_eq!(client.try_read(&mut [0]).expect("the socket is closed"), 0);
    }
}
