use std::sync::Mutex;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::{clock::Clock, domain::LoginId, gateway::wire::limits::SocketLimits};

#[tokio::test]
async fn a_session_that_panics_frees_its_place() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
    let (stream, _) = listener.accept().await.expect("accepted");
    let (socket, incoming) = Socket::open(stream, Bytes::new(), SocketLimits::default());
    let clock = Clock::system();
    let (user, login) = (clock.id(crate::domain::UserId::known), clock.id(LoginId::known));
    let (proof, scopes) = (crate::credentials::Proof::Login, crate::credentials::Scopes::PERSON);
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
