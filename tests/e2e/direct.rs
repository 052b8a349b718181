//! Tokens of issuers that are used directly: their logins are listed and revoked, and end with their account.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    audit::{events_of, nothing_waits},
    erasing::{is_done, starts_eraser},
    issuers::{Scene, exchange, me, plain, with},
    provision::user,
    world::{Device, Person, Product, Program, Signer, eventually, now, send},
};

/// The time limit for all nodes to refuse after a revocation.
const SOON: Duration = Duration::from_secs(1);

async fn asks(at: SocketAddr, method: Method, path: &str, token: &str) -> crate::world::Answer {
    send(&Client::new(), at, method, path, Some(token), None).await
}

async fn logins(at: SocketAddr, token: &str) -> Vec<Value> {
    let page = asks(at, Method::GET, "/v1/logins?limit=200", token).await.expect(200);
    page["items"].as_array().expect("items").clone()
}

/// Waits until all nodes refuse a token. Fails if that takes longer than a revocation may.
async fn refused_soon(nodes: &[SocketAddr], token: &str, since: Instant, status: StatusCode) {
    for at in nodes {
        while me(*at, token).await.status != status {
            assert!(since.elapsed() < SOON, "{at} still takes the token");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_used_as_it_is_is_listed_and_revoked_on_every_node() {
    let mut scene = Scene::begin().await;
    let key = Signer::new("EdDSA", "k");
    let issuer = scene.issuer(Product::Keycloak, &key).await;
    let file = plain(&issuer) + "direct = true\n";
    let nodes = [scene.node(&file, &[]).await, scene.node(&file, &[]).await];
    let claims = issuer.claims("1", "ana");
    let token = key.signs(&claims);
    let ours = exchange(nodes[0], &key.signs(&issuer.claims("1", "ana"))).await.expect(201);
    let ours = Person::with(&ours, nodes[0]);
    let mut sockets = Vec::new();
    for at in nodes {
        me(at, &token).await.expect(200);
        sockets.push(Device::connects(at, &token).await);
    }
    let listed = logins(nodes[1], &token).await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    let direct = listed.iter().find(|login| login["current"] == true).expect("the login of the token");
    assert!(direct["created_at"].is_string() && direct["last_used_at"].is_string(), "{direct}");
    assert!(direct.get("device").is_none(), "{direct}");
    let path = format!("/v1/logins/{}", direct["id"].as_str().expect("id"));
    // Another token of the same session belongs to the same login.
    let again = key.signs(&with(claims.clone(), json!({ "jti": "again", "exp": now() + 600 })));
    assert_eq!(logins(nodes[0], &again).await.len(), 2);

    let stranger = key.signs(&issuer.claims("2", "ben"));
    asks(nodes[0], Method::DELETE, &path, &stranger).await.refuses(404, "not_found");
    let since = Instant::now();
    ours.delete(&path).await.expect(204);
    refused_soon(&nodes, &token, since, StatusCode::UNAUTHORIZED).await;
    for socket in &mut sockets {
        assert_eq!(socket.is_closed_with().await, 4503);
    }
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    for at in nodes {
        me(at, &token).await.refuses(401, "login_revoked");
        me(at, &again).await.refuses(401, "login_revoked");
    }
    assert_eq!(logins(nodes[0], &ours.token).await.len(), 1);
    ours.delete(&path).await.expect(204);
    // A new node reads its deny set from the database.
    let fresh = scene.node(&file, &[]).await;
    me(fresh, &token).await.refuses(401, "login_revoked");
    nothing_waits(&scene.world).await;
    let mut told = events_of(&scene.world, &ours.id).await;
    told.retain(|(word, _)| word == "login.revoked");
    let revoked = json!({ "logins": [direct["id"]], "by": "owner" });
    assert_eq!(told, [("login.revoked".to_owned(), revoked)], "the second request has ended nothing");

    // The session stays over when its last token has expired long ago, one of many such sessions.
    let ages = |days: u32| {
        format!(
            "update auth.direct_login
             set expires_at = expires_at - interval '{days} d', revoked_at = revoked_at - interval '{days} d'
             where revoked_at is not null"
        )
    };
    scene.world.database.does(&ages(80)).await;
    let earlier = "insert into auth.direct_login
                       (login_id, account_id, issuer, subject, session, expires_at, revoked_at)
                   select gen_random_uuid(), account_id, issuer, subject, 'earlier ' || n, expires_at,
                          revoked_at - n * interval '1 s'
                   from auth.direct_login, generate_series(1, 1100) n where session = 'session-1'";
    scene.world.database.does(earlier).await;
    let fresh = scene.node(&file, &[]).await;
    let of_session = |sid: &str| key.signs(&with(claims.clone(), json!({ "sid": sid, "jti": sid })));
    me(fresh, &of_session("second")).await.expect(200);
    me(fresh, &of_session("session-1")).await.refuses(401, "login_revoked");
    let ended = "select count(*) from auth.direct_login where revoked_at is not null";
    assert_eq!(scene.world.database.finds::<i64>(ended).await, 1_000);
    scene.world.database.does(&ages(11)).await;
    me(fresh, &of_session("third")).await.expect(200);
    assert_eq!(scene.world.database.finds::<i64>(ended).await, 0);

    // After a restore, an operator ends everything that began before a time.
    let ben = key.signs(&with(issuer.claims("2", "ben"), json!({ "sid": "of a phone" })));
    let mut socket = Device::connects(fresh, &ben).await;
    let restored_at: String = scene
        .world
        .database
        .finds(r#"select to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"#)
        .await;
    let revoked = scene.world.runs(&["logins", "revoke", "--since", &restored_at]).await;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert_eq!(socket.is_closed_with().await, 4503);
    let unseen = key.signs(&with(issuer.claims("2", "ben"), json!({ "sid": "unseen", "iat": now() - 5 })));
    for gone in [&ben, &of_session("third"), &unseen] {
        me(fresh, gone).await.refuses(401, "login_revoked");
        exchange(fresh, gone).await.refuses(401, "invalid_token");
    }
    let back = json!({ "sid": "back", "iat": now() + 5, "exp": now() + 300 });
    me(fresh, &key.signs(&with(issuer.claims("2", "ben"), back))).await.expect(200);
    scene.world.finish().await;
}

#[tokio::test]
async fn a_user_has_a_hundred_logins_of_tokens_at_most() {
    let mut scene = Scene::begin().await;
    let key = Signer::new("EdDSA", "k");
    let issuer = scene.issuer(Product::Keycloak, &key).await;
    let file = plain(&issuer) + "direct = true\n";
    let nodes = [scene.node(&file, &[]).await, scene.node(&file, &[]).await];
    let token = |n: usize| {
        let changes = json!({ "sid": null, "jti": format!("token {n}") });
        key.signs(&with(issuer.claims("1", "ana"), changes))
    };
    let first = token(0);
    for at in nodes {
        me(at, &first).await.expect(200);
    }
    let mut socket = Device::connects(nodes[1], &first).await;
    let tokens: Vec<String> = (1..100).map(token).collect();
    for some in tokens.chunks(20) {
        for answer in join_all(some.iter().map(|token| me(nodes[0], token))).await {
            answer.expect(200);
        }
    }
    assert_eq!(logins(nodes[0], &first).await.len(), 100);
    let last = token(100);
    me(nodes[0], &last).await.expect(200);
    assert_eq!(socket.is_closed_with().await, 4503, "the login that was not used for the longest time ends");
    for at in nodes {
        me(at, &first).await.refuses(401, "login_revoked");
        me(at, &last).await.expect(200);
    }
    assert_eq!(logins(nodes[0], &last).await.len(), 100);
    scene.world.finish().await;
}

#[tokio::test]
async fn a_deactivated_account_is_suspended_everywhere_within_a_second() {
    let mut scene = Scene::begin().await;
    let key = Signer::new("EdDSA", "k");
    let issuer = scene.issuer(Product::Keycloak, &key).await;
    let file = plain(&issuer) + "direct = true\n";
    let nodes = [scene.node(&file, &[]).await, scene.node(&file, &[]).await];
    let operator = Program::bootstraps(&scene.world).await;
    let host = operator.makes("shop", &["users:write"]).await.person;
    let eraser = operator.makes("forgets", &["admin:erasure"]).await;
    let token = key.signs(&issuer.claims("1", "ana"));
    let other = key.signs(&with(issuer.claims("1", "ana"), json!({ "sid": "unseen" })));
    let ours = exchange(nodes[0], &token).await.expect(201);
    let ana = Person::with(&ours, nodes[0]);
    // The host application takes over the account, as it could with its own table of users.
    let row = format!(
        "insert into auth.external_id (tenant, external_id, account_id) values ('default', '7', '{}')",
        ana.id
    );
    scene.world.database.does(&row).await;
    let mut sockets = Vec::new();
    for at in nodes {
        me(at, &token).await.expect(200);
        sockets.push(Device::connects(at, &token).await);
        sockets.push(ana.at(at).connects().await);
    }
    let stream = Client::new().get(format!("http://{}/v1/events?wait=30", nodes[1]));
    let waits = tokio::spawn(stream.bearer_auth(&token).send());

    let since = Instant::now();
    host.delete(&user("7")).await.expect(204);
    for token in [&token, &ana.token] {
        refused_soon(&nodes, token, since, StatusCode::FORBIDDEN).await;
    }
    for socket in &mut sockets {
        assert_eq!(socket.is_closed_with().await, 4504);
    }
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    let cut = waits.await.expect("no panic").expect("an answer");
    assert_eq!(cut.status(), StatusCode::FORBIDDEN);
    let fresh = scene.node(&file, &[]).await;
    for at in [nodes[0], nodes[1], fresh] {
        for token in [&token, &other, &ana.token] {
            me(at, token).await.refuses(403, "suspended");
            let mut late = Device::says_hello(at, token, json!({ "op": "hello" })).await;
            assert_eq!(late.is_closed_with().await, 4504);
        }
        exchange(at, &token).await.refuses(403, "suspended");
    }

    host.post(&format!("{}/reactivate", user("7")), json!({})).await.expect(200);
    // A token that the issuer creates now is valid, even for the same session.
    let new = with(issuer.claims("1", "ana"), json!({ "iat": now() + 2, "exp": now() + 300, "jti": "new" }));
    let new = key.signs(&new);
    for at in [nodes[0], nodes[1], fresh] {
        eventually("the node knows that the account is active", async || me(at, &new).await.status == 200)
            .await;
        Device::connects(at, &new).await;
        let login = exchange(at, &new).await.expect(201);
        assert_eq!(login["user_id"], ana.id.as_str());
        me(at, login["access_token"].as_str().expect("a token")).await.expect(200);
        me(at, &ana.token).await.refuses(401, "login_revoked");
        me(at, &other).await.refuses(401, "login_revoked");
        exchange(at, &token).await.refuses(401, "invalid_token");
    }

    // An account that was deactivated long ago is erased. Its tokens from before make no new account.
    host.delete(&user("7")).await.expect(204);
    scene.world.database.does("update auth.external_logout set until = now() - interval '2 hours'").await;
    eventually("what no token can be older than is forgotten", async || {
        scene.world.database.finds::<i64>("select count(*) from auth.external_logout").await == 0
    })
    .await;
    let erasure = json!({ "user_id": ana.id, "scope": "account", "reason_code": "request" });
    let erasure = eraser.person.post("/v1/admin/erasures", erasure).await.expect(202);
    let mut erases = starts_eraser(&scene.world);
    is_done(&eraser, erasure["id"].as_str().expect("an id")).await;
    erases.kill().await.expect("it runs");
    let accounts = "select count(*) from auth.account where username = 'ana'";
    for at in [nodes[0], fresh] {
        me(at, &other).await.refuses(401, "login_revoked");
        exchange(at, &other).await.refuses(401, "invalid_token");
    }
    assert_eq!(scene.world.database.finds::<i64>(accounts).await, 0);
    let later = with(issuer.claims("1", "ana"), json!({ "iat": now() + 5, "exp": now() + 300 }));
    assert_ne!(exchange(fresh, &key.signs(&later)).await.expect(201)["user_id"], ana.id.as_str());
    scene.world.finish().await;
}
