//! What must stand in no log, however much is logged.

use crate::world::{PASSWORD, Program, World, key};
use serde_json::json;

#[tokio::test]
async fn no_secret_is_logged_even_if_everything_is() {
    for level in ["debug", "trace", "info,async_nats::connection=trace,sqlx=trace"] {
        let mut world = World::empty(1).await;
        world.add_node_with("api,gateway,projector", &[("RUST_LOG", level)]).await;
        let ana = world.person("ana").await;
        let notes = ana.starts_group("Notes", &[]).await;
        let text = format!("my card is {}", key());
        ana.says(&notes, &text).await;
        let wrong = json!({ "username": "ana.a", "password": "not the right one" });
        ana.post("/v1/logins", wrong).await.expect(401);
        let operator = Program::bootstraps(&world).await.person;
        operator.get("/v1/admin/services").await.expect(200);
        operator.with_token(Some(&operator.token[..60])).get("/v1/me").await.expect(401);
        let mut device = ana.connects().await;
        device.tells(json!({ "op": "ping" })).await;
        device.gets("pong").await;
        world.nodes[0].stop().await;
        let password = |url: &str| {
            let (before, _) = url.rsplit_once('@').expect("user and password");
            before.rsplit_once(':').expect("a password").1.to_owned()
        };
        for (what, secret) in [
            ("the password of nats-server", &*password(world.nats.url())),
            ("the password of Postgres", &password(&world.database.url)),
            ("a user's password", PASSWORD),
            ("a wrong password", "not the right one"),
            ("an access token", &ana.token),
            ("the secret of an API key", &operator.token[17..50]),
            ("a message", &text),
        ] {
            let lines = world.nodes[0].lines_with(secret);
            assert!(lines.is_empty(), "{level}: {what} is logged: {:#?}", &lines[..lines.len().min(3)]);
        }
        world.finish_without_views().await;
    }
}
