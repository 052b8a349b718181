//! Every change of an account is one audit event, and no change is none.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::world::{Backbone, PASSWORD, Person, World, ask};

/// The events of a story in the order of their changes, those of one subject.
async fn events_of<B: Backbone>(world: &World<B>, subject: &str) -> Vec<(String, Value)> {
    let mut connection = PgConnection::connect(&world.database.url).await.expect("Postgres");
    let rows = sqlx::query("select word, data::text as data from auth.audit where subject = $1 order by seq")
        .bind(subject)
        .fetch_all(&mut connection)
        .await
        .expect("rows");
    let event = |row: &sqlx::postgres::PgRow| {
        (row.get("word"), serde_json::from_str(row.get("data")).expect("the data are JSON"))
    };
    rows.iter().map(event).collect()
}

#[tokio::test]
async fn each_change_of_an_account_is_one_event_and_no_change_is_none() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let mut expected = vec![("account.created".to_owned(), json!({ "origin": "registered" }))];
    assert_eq!(events_of(&world, &ana.id).await, expected);

    for name in ["Ana", "Ana", "Ana María", "Ana María"] {
        ana.send(Method::PATCH, "/v1/me", Some(json!({ "display_name": name }))).await.expect(200);
    }
    let renamed = ("account.updated".to_owned(), json!({ "changed": ["display_name"] }));
    expected.extend([renamed.clone(), renamed]);
    for _ in 0..2 {
        let both = json!({ "display_name": "Ana", "avatar_url": "https://example.com/ana.png" });
        ana.send(Method::PATCH, "/v1/me", Some(both)).await.expect(200);
    }
    expected.push(("account.updated".to_owned(), json!({ "changed": ["display_name", "avatar_url"] })));
    assert_eq!(events_of(&world, &ana.id).await, expected);

    let phone = Person::logs_in(ana.address, &ana.name, &ana.id).await;
    let logins = ana.get("/v1/logins").await.expect(200)["items"].clone();
    let phones = logins[0]["id"].as_str().expect("the latest login is the first").to_owned();
    for _ in 0..2 {
        ana.send(Method::DELETE, &format!("/v1/logins/{phones}"), None).await.expect(204);
    }
    phone.get("/v1/me").await.refuses(401, "login_revoked");
    expected.push(("login.revoked".to_owned(), json!({ "logins": [phones], "by": "owner" })));
    assert_eq!(events_of(&world, &ana.id).await, expected);

    Person::logs_in(ana.address, &ana.name, &ana.id).await;
    let change = |current: &str| json!({ "current_password": current, "new_password": "staple, but longer" });
    ana.put("/v1/me/password", change("not my password")).await.refuses(403, "wrong_password");
    ana.put("/v1/me/password", change(PASSWORD)).await.expect(204);
    let changed = json!({ "changed": ["password"], "logins_revoked": 1 });
    expected.push(("account.updated".to_owned(), changed));
    assert_eq!(events_of(&world, &ana.id).await, expected);

    // A name that is taken makes no account, so it makes no event either.
    let again = json!({ "username": ana.name, "password": PASSWORD });
    ask(ana.address, Method::POST, "/v1/accounts", Some(again)).await.refuses(409, "username_taken");
    let mut connection = PgConnection::connect(&world.database.url).await.expect("Postgres");
    let all: i64 = sqlx::query_scalar("select count(*) from auth.audit")
        .fetch_one(&mut connection)
        .await
        .expect("a row");
    assert_eq!(all, expected.len() as i64);
    world.finish().await;
}

#[tokio::test]
async fn a_stolen_refresh_token_and_an_operators_revocation_are_events() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let refresh = |token: &str| {
        let body = json!({ "refresh_token": token });
        async move { ask(ana.address, Method::POST, "/v1/logins/refresh", Some(body)).await }
    };
    let first = ana.refresh_token.clone();
    refresh(&first).await.expect(200);
    let mut connection = PgConnection::connect(&world.database.url).await.expect("Postgres");
    // The grace period is over.
    sqlx::query("update auth.spent_refresh set spent_at = spent_at - interval '1 minute'")
        .execute(&mut connection)
        .await
        .expect("updated");
    for _ in 0..2 {
        refresh(&first).await.refuses(401, "invalid_grant");
    }
    let told = events_of(&world, &ana.id).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&*told[1].0, &told[1].1["by"]), ("login.revoked", &json!("reuse")));

    for _ in 0..2 {
        Person::logs_in(ana.address, &ana.name, &ana.id).await;
    }
    for ended in [2, 0] {
        let ran = world.runs(&["logins", "revoke", "--since", "2126-01-01T00:00:00Z"]).await;
        assert!(ran.code == Some(0) && ran.stdout.starts_with(&format!("{ended} logins ")), "{ran:?}");
    }
    let told = events_of(&world, &ana.id).await;
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!((&*told[2].0, &told[2].1["by"]), ("login.revoked", &json!("operator")));
    assert_eq!(told[2].1["logins"].as_array().map(Vec::len), Some(2));
    world.finish().await;
}
