//! The answers to handshakes.

use futures_util::StreamExt as _;
use reqwest::StatusCode;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use verbatim::{accounts, app, clock::Clock, credentials, domain::LoginId};

use crate::world::{PATIENCE, World, eventually, open};

/// The close code and the reason of a socket that is closed before any other frame.
async fn closed(world: &World, token: &str) -> (u16, String) {
    let mut socket = open(world.nodes[0].address, Some(token)).await.expect("a socket");
    match timeout(PATIENCE, socket.next()).await {
        Ok(Some(Ok(Message::Close(Some(close))))) => {
            (close.code.into(), close.reason.split(';').next().expect("a word").to_owned())
        }
        other => panic!("it is not closed: {other:?}"),
    }
}

#[tokio::test]
async fn a_token_that_does_not_count_is_told_by_a_close_which_browsers_see() {
    let world = World::start().await;
    let (ana, address) = (world.person("ana").await, world.nodes[0].address);

    let pool = app::database(&world.database.url, 1).await.expect("Postgres");
    let tokens =
        credentials::Tokens::new(accounts::shared_key(&pool).await.expect("a key"), "verbatim", "verbatim");
    let login = Clock::system().id(LoginId::known);
    let long_ago = "2026-01-01T00:00:00.000Z".parse().expect("a time");
    let expired = tokens.issue(ana.id.parse().expect("an id"), login, long_ago, "old".into());
    assert_eq!(closed(&world, &expired).await, (4401, "token_expired".to_owned()));
    assert_eq!(closed(&world, "nonsense").await, (4501, "invalid_token".to_owned()));

    ana.delete("/v1/logins/current").await.expect(204);
    eventually("the node knows that the login was revoked", || async {
        ana.get("/v1/me").await.status == StatusCode::UNAUTHORIZED
    })
    .await;
    assert_eq!(closed(&world, &ana.token).await, (4501, "invalid_token".to_owned()));

    // A request that is not a handshake gets an HTTP answer, and so does one without a token.
    let plain = ana.get("/v1/ws").await;
    assert_eq!((plain.status.as_u16(), &plain.body["code"]), (426, &"upgrade_required".into()));
    assert_eq!(open(address, None).await.err(), Some(401));
    world.finish().await;
}

#[tokio::test]
async fn sockets_without_a_good_token_take_no_place_from_others() {
    let world = World::start().await;
    let (ana, address) = (world.person("ana").await, world.nodes[0].address);
    let mut told = Vec::new();
    let refused = loop {
        match open(address, Some("nonsense")).await {
            Ok(socket) => told.push(socket),
            Err(status) => break status,
        }
        assert!(told.len() < 2_000, "there is no end");
    };
    assert_eq!(refused, 401, "then the request is answered");
    let mut device = ana.connects().await;
    device.catches_up().await;
    world.finish().await;
}
