//! People register, log in, stay logged in and log out.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{PASSWORD, Person, World, ask, open, send};

#[tokio::test]
async fn a_name_is_taken_once() {
    let world = World::start().await;
    let address = world.nodes[0].address;
    let register = |name: &str| {
        ask(address, Method::POST, "/v1/accounts", Some(json!({ "username": name, "password": PASSWORD })))
    };
    let answers = join_all((0..100).map(|_| register("ana"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 99);
    register("ANA").await.refuses(409, "username_taken");
    for name in ["admin", "", "a b", "a\u{200b}b", "\u{430}dmin", &"x".repeat(65), "x.", "<script>"] {
        let status = register(name).await.status.as_u16();
        assert!([400, 409].contains(&status), "{name:?}: {status}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let log_in = |name: &str, password: &str| {
        let body = json!({ "username": name, "password": password });
        async move {
            ask(ana.address, Method::POST, "/v1/logins", Some(body)).await.refuses(401, "bad_credentials")
        }
    };
    let (mut wrong, mut unknown) =
        (log_in(&ana.name, "not my password").await, log_in("nobody", "not my password").await);
    for answer in [&mut wrong, &mut unknown] {
        answer["request_id"].take();
    }
    assert_eq!(wrong, unknown);
    world.finish().await;
}

#[tokio::test]
async fn nothing_is_given_to_nobody() {
    let world = World::start().await;
    let address = world.nodes[0].address;
    let paths: Value = ask(address, Method::GET, "/openapi.json", None).await.expect(200)["paths"].clone();
    let public = [
        "/v1/accounts",
        "/v1/accounts/recovery",
        "/v1/logins",
        "/v1/logins/exchange",
        "/v1/logins/refresh",
        "/v1/info",
        "/.well-known/jwks.json",
        // The secret of the link is in the query.
        "/v1/exports/{id}",
    ];
    let id = "01930f3c-5a7b-7c3d-8e4f-0123456789ab";
    let mut asked = 0;
    for (path, methods) in paths.as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys().filter(|method| *method != "parameters") {
            if public.contains(&path.as_str()) && !(path == "/v1/logins" && method == "get") {
                continue;
            }
            let mut real = path.clone();
            while let (Some(from), Some(to)) = (real.find('{'), real.find('}')) {
                real.replace_range(from..=to, id);
            }
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("method");
            let answer = ask(address, method.clone(), &real, None).await;
            assert_eq!(answer.headers["www-authenticate"], "Bearer", "{method} {real}");
            answer.refuses(401, "missing_token");
            asked += 1;
        }
    }
    assert!(asked > 20, "only {asked} operations were asked");
    assert_eq!(open(address, None).await.err(), Some(401));
    world.finish().await;
}

#[tokio::test]
async fn refreshing_makes_one_successor_and_reuse_ends_the_login() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let refresh = |token: String| {
        let body = json!({ "refresh_token": token });
        ask(ana.address, Method::POST, "/v1/logins/refresh", Some(body))
    };
    let answers = join_all((0..10).map(|_| refresh(ana.refresh_token.clone()))).await;
    let pairs: Vec<Value> = answers.into_iter().map(|answer| answer.expect(200)).collect();
    assert!(pairs.iter().all(|pair| *pair == pairs[0]));
    let mut spent = vec![ana.refresh_token.clone()];
    let mut youngest = pairs[0].clone();
    for _ in 0..4 {
        let token = youngest["refresh_token"].as_str().expect("token").to_owned();
        youngest = refresh(token.clone()).await.expect(200);
        spent.push(token);
    }
    for token in &spent {
        assert_eq!(refresh(token.clone()).await.expect(200), youngest, "whose answer may be lost");
    }
    let mut device = ana.connects().await;
    let last = youngest["refresh_token"].as_str().expect("token").to_owned();
    // After ten seconds, the oldest spent token counts as stolen.
    world
        .database
        .does("update auth.spent_refresh set spent_at = spent_at - interval '10.5 s' where generation = 0")
        .await;
    refresh(spent[1].clone()).await.expect(200);
    refresh(spent[0].clone()).await.refuses(401, "invalid_grant");
    assert_eq!(device.is_closed_with().await, 4503);
    refresh(last).await.refuses(401, "invalid_grant");
    refresh(spent[1].clone()).await.refuses(401, "invalid_grant");
    refresh("nonsense".into()).await.refuses(401, "invalid_grant");
    world.finish().await;
}

#[tokio::test]
async fn a_new_password_ends_the_other_logins() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let phone = Person::logs_in(ana.address, &ana.name, &ana.id).await;
    let mut of_phone = phone.connects().await;
    let logins = ana.get("/v1/logins").await.expect(200);
    assert_eq!(logins["items"].as_array().expect("items").len(), 2, "{logins}");
    let change = |from: &str| json!({ "current_password": from, "new_password": "another horse battery" });
    ana.put("/v1/me/password", change("not my password")).await.expect(403);
    ana.put("/v1/me/password", change(PASSWORD)).await.expect(204);
    // The response may have been lost. A wrong password in between makes the next one no second guess.
    ana.put("/v1/me/password", change(PASSWORD)).await.expect(204);
    let third = json!({ "current_password": PASSWORD, "new_password": "a third horse battery" });
    ana.put("/v1/me/password", third).await.refuses(403, "wrong_password");
    ana.put("/v1/me/password", change(PASSWORD)).await.refuses(403, "wrong_password");
    assert_eq!(of_phone.is_closed_with().await, 4503);
    phone.get("/v1/me").await.refuses(401, "login_revoked");
    assert_eq!(ana.get("/v1/me").await.expect(200)["username"], ana.name.as_str());
    ana.patch("/v1/me", json!({ "display_name": "Ana B." })).await.expect(200);
    assert_eq!(ana.get(&format!("/v1/users/{}", ana.id)).await.expect(200)["display_name"], "Ana B.");
    let found = ana.get(&format!("/v1/users?username={}", ana.name)).await.expect(200);
    assert_eq!(found["items"][0]["id"], ana.id.as_str());

    // A token whose login has ended is enough to log out, again or another login whose refresh token is there.
    let typed = json!({ "username": ana.name, "password": "another horse battery" });
    let tablet = ask(ana.address, Method::POST, "/v1/logins", Some(typed)).await.expect(201);
    let tablet = Person::with(&tablet, ana.address);
    let mut of_tablet = tablet.connects().await;
    let names = |token: &str| Some(json!({ "refresh_token": token }));
    let logs_out = async |body| phone.send(Method::DELETE, "/v1/logins/current", body).await;
    logs_out(names(&world.person("ben").await.refresh_token)).await.refuses(401, "invalid_grant");
    logs_out(names("nonsense")).await.refuses(401, "invalid_grant");
    tablet.get("/v1/me").await.expect(200);
    for body in [None, Some(json!({})), names(&tablet.refresh_token), names(&tablet.refresh_token)] {
        logs_out(body).await.expect(204);
    }
    assert_eq!(of_tablet.is_closed_with().await, 4503);
    ana.get("/v1/me").await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn a_picture_is_shown_to_others_until_it_is_removed() {
    let world = World::start().await;
    let (ana, ben) = (world.person("ana").await, world.person("ben").await);
    let seen = async || ben.get(&format!("/v1/users/{}", ana.id)).await.expect(200);
    let plain = json!({
        "id": ana.id, "username": ana.name, "display_name": ana.name, "avatar_url": null, "kind": "user",
    });
    assert_eq!(seen().await, plain);
    let url = format!("https://example.com/{}", "a".repeat(2_028));
    let mine = ana.patch("/v1/me", json!({ "avatar_url": url })).await.expect(200);
    assert_eq!((&mine["avatar_url"], &mine["display_name"]), (&json!(url), &json!(ana.name)));
    assert_eq!(ana.get("/v1/me").await.expect(200), mine);
    assert_eq!(seen().await["avatar_url"], url);
    ana.patch("/v1/me", json!({ "display_name": "Ana B." })).await.expect(200);
    assert_eq!((&seen().await["avatar_url"], &seen().await["display_name"]), (&json!(url), &json!("Ana B.")));
    for changes in [json!({}), json!({ "avatar_url": url, "display_name": "Ana B." })] {
        assert_eq!(ana.patch("/v1/me", changes).await.expect(200)["avatar_url"], url, "nothing changes");
    }
    assert_eq!(
        ana.patch("/v1/me", json!({ "avatar_url": null })).await.expect(200)["avatar_url"],
        Value::Null
    );
    let found = ben.get(&format!("/v1/users?username={}", ana.name)).await.expect(200);
    let expected = json!({
        "id": ana.id, "username": ana.name, "display_name": "Ana B.", "avatar_url": null, "kind": "user",
    });
    assert_eq!(found["items"], json!([expected]));
    world.finish().await;
}

#[tokio::test]
async fn a_password_is_one_on_all_keyboards() {
    let world = World::start().await;
    let address = world.nodes[0].address;
    // One keyboard composes the é and writes a plain space; others write an accent after the e, or a no-break space.
    // RFC 8265 makes them the same password at registration, log-in and change.
    let (composed, apart, unbroken) = ("caf\u{e9} noir", "cafe\u{301} noir", "caf\u{e9}\u{a0}noir");
    let body = |password: &str| json!({ "username": "ren\u{e9}", "password": password });
    ask(address, Method::POST, "/v1/accounts", Some(body(apart))).await.expect(201);
    let log_in = |body: Value| ask(address, Method::POST, "/v1/logins", Some(body));
    for typed in [composed, apart, unbroken] {
        let typed = json!({ "username": "RENE\u{301}", "password": typed });
        log_in(typed).await.expect(201);
    }
    let login = log_in(body(composed)).await.expect(201);
    log_in(body("cafe noir")).await.refuses(401, "bad_credentials");
    let new = "noir na\u{ef}f";
    let change = json!({ "current_password": unbroken, "new_password": "noir\u{3000}nai\u{308}f" });
    let token = login["access_token"].as_str();
    let http = reqwest::Client::new();
    send(&http, address, Method::PUT, "/v1/me/password", token, Some(change)).await.expect(204);
    log_in(body(new)).await.expect(201);
    log_in(body(composed)).await.refuses(401, "bad_credentials");

    // A zero is a character like any other. A name of many bytes is cut where other users see it.
    let name = "\u{738b}".repeat(43);
    let body = |password: &str| json!({ "username": name, "password": password });
    let made = ask(address, Method::POST, "/v1/accounts", Some(body("nul\0nul\0nul"))).await.expect(201);
    assert_eq!((&made["username"], &made["display_name"]), (&json!(name), &json!("\u{738b}".repeat(42))));
    log_in(body("nul\0nul\0nul")).await.expect(201);
    log_in(body("nulnulnul")).await.refuses(401, "bad_credentials");
    log_in(body("nul")).await.refuses(401, "bad_credentials");
    world.finish().await;
}

#[tokio::test]
async fn tokens_are_verified_with_the_published_keys() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let keys = ask(ana.address, Method::GET, "/.well-known/jwks.json", None).await.expect(200);
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys).expect("a key set");
    let header = jsonwebtoken::decode_header(&ana.token).expect("a token");
    let key = keys.find(&header.kid.expect("kid")).expect("the key is published");
    let key = jsonwebtoken::DecodingKey::from_jwk(key).expect("a key");
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    rules.set_audience(&["verbatim"]);
    let claims = jsonwebtoken::decode::<Value>(&ana.token, &key, &rules).expect("a good token").claims;
    assert_eq!(claims["sub"], ana.id.as_str());
    world.finish().await;
}
