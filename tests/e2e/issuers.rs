//! Users of other applications, whose own servers prove their identity.

use std::{fs, net::SocketAddr, path::Path};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    audit::events_of,
    world::{Answer, Authority, Device, Issuer, Product, Signer, World, ask, eventually, now, send, signal},
};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// A world whose nodes know issuers.
pub struct Scene {
    pub world: World,
    authority: Authority,
}

impl Scene {
    pub async fn begin() -> Self {
        let world = World::empty(1).await;
        let authority = Authority::new(world.dir(), "authority");
        Self { world, authority }
    }

    pub async fn issuer(&self, product: Product, key: &Signer) -> Issuer {
        Issuer::of(product, &self.authority, self.world.dir(), key).await
    }

    /// A node that knows the issuers of a file.
    pub async fn node(&mut self, file: &str, settings: &[(&str, &str)]) -> SocketAddr {
        let path = self.world.dir().join("issuers.toml");
        fs::write(&path, file).expect("a file");
        let [path, authority] = [&path, &self.authority.file].map(|path| path.to_str().expect("UTF-8"));
        let mut all = vec![
            ("VERBATIM_ISSUERS_FILE", path),
            ("VERBATIM_ISSUERS_ALLOW", "127.0.0.0/8,::1"),
            ("VERBATIM_OUTBOUND_CA_FILE", authority),
        ];
        all.extend(settings);
        self.world.add_node_with("api,gateway,projector", &all).await.address
    }
}

/// The minimal description of an issuer.
pub fn plain(issuer: &Issuer) -> String {
    format!("[[issuer]]\niss = \"{}\"\naudience = [\"verbatim\"]\n", issuer.iss)
}

pub async fn exchange(at: SocketAddr, token: &str) -> Answer {
    let body = json!({ "grant_type": GRANT, "subject_token_type": ACCESS_TOKEN, "subject_token": token });
    ask(at, Method::POST, "/v1/logins/exchange", Some(body)).await
}

pub async fn me(at: SocketAddr, token: &str) -> Answer {
    send(&reqwest::Client::new(), at, Method::GET, "/v1/me", Some(token), None).await
}

/// The account of the user of a token.
async fn account(at: SocketAddr, token: &str) -> Value {
    let login = exchange(at, token).await.expect(201);
    let account = me(at, login["access_token"].as_str().expect("a token")).await.expect(200);
    assert_eq!(account["id"], login["user_id"]);
    account
}

pub fn with(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// The settings for a product from the page, with the address of another server.
fn settings_of_the_page(product: &str, iss: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/keycloak.md");
    let page = fs::read_to_string(page).expect("a page");
    let begin = format!("```toml {product}\n");
    let block = page.split(&begin).nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let line = block.lines().find_map(|line| line.strip_prefix("iss = \"")).expect("an issuer");
    let theirs = line.trim_end_matches('"');
    block.replace(theirs, iss)
}

#[tokio::test]
async fn users_of_keycloak_auth0_and_supabase_come_in_by_the_settings_of_the_page() {
    let mut scene = Scene::begin().await;
    let (rsa, other, ec) =
        (Signer::new("RS256", "k1"), Signer::new("RS256", "k2"), Signer::new("ES256", "k3"));
    let keycloak = scene.issuer(Product::Keycloak, &rsa).await;
    let auth0 = scene.issuer(Product::Auth0, &other).await;
    let supabase = scene.issuer(Product::Supabase, &ec).await;
    let file = [("keycloak", &keycloak), ("auth0", &auth0), ("supabase", &supabase)]
        .map(|(name, issuer)| settings_of_the_page(name, &issuer.iss))
        .concat();
    let at = scene.node(&file, &[]).await;
    for (issuer, key, name) in
        [(&keycloak, &rsa, "Keycloak"), (&auth0, &other, "Auth0"), (&supabase, &ec, "Supabase")]
    {
        let user = format!("zoe-{}", name.to_lowercase());
        let account = account(at, &key.signs(&issuer.claims("7f3a", &user))).await;
        assert_eq!(account["username"], user, "{account}");
        assert_eq!(account["display_name"], format!("{user} of {name}"), "{account}");
    }
    let outsider =
        with(keycloak.claims("8", "ben"), json!({ "realm_access": { "roles": ["offline_access"] } }));
    exchange(at, &rsa.signs(&outsider)).await.refuses(401, "invalid_token");

    let login = exchange(at, &rsa.signs(&keycloak.claims("7f3a", "zoe-keycloak"))).await.expect(201);
    assert_eq!((&login["token_type"], &login["expires_in"]), (&json!("Bearer"), &json!(600)));
    let refresh = json!({ "refresh_token": login["refresh_token"] });
    ask(at, Method::POST, "/v1/logins/refresh", Some(refresh)).await.expect(200);
    scene.world.finish().await;
}

#[tokio::test]
async fn an_issuer_signs_for_itself_alone_and_a_user_is_known_by_issuer_and_subject_alone() {
    let mut scene = Scene::begin().await;
    // Two issuers use the same key id for different keys (CVE-2026-49998).
    let (of_one, of_other) = (Signer::new("RS256", "same"), Signer::new("RS256", "same"));
    let one = scene.issuer(Product::Keycloak, &of_one).await;
    let other = scene.issuer(Product::Keycloak, &of_other).await;
    let at = scene.node(&(plain(&one) + &plain(&other)), &[]).await;
    let ana = account(at, &of_one.signs(&one.claims("1", "ana"))).await;
    let its = account(at, &of_other.signs(&other.claims("1", "ana"))).await;
    exchange(at, &of_other.signs(&one.claims("1", "ana"))).await.refuses(401, "invalid_token");
    exchange(at, &of_one.signs(&other.claims("1", "ana"))).await.refuses(401, "invalid_token");

    // The claims of both have the same e-mail address, user name and subject.
    assert_ne!(ana["id"], its["id"]);
    assert_eq!(ana["username"], "ana");
    assert!(its["username"].as_str().expect("a name").starts_with("ana-"), "{its}");
    let again = with(one.claims("1", "renamed"), json!({ "email": "another@example.com" }));
    let again = account(at, &of_one.signs(&again)).await;
    assert_eq!(
        (&again["id"], &again["username"], &again["display_name"]),
        (&ana["id"], &ana["username"], &ana["display_name"])
    );

    let ben = scene.world.person("ben").await;
    let named_so = account(at, &of_one.signs(&one.claims("2", &ben.name))).await;
    assert_ne!(named_so["id"], ben.id.as_str(), "an account of ours is not given away");
    scene.world.finish().await;
}

#[tokio::test]
async fn of_many_first_exchanges_of_one_user_one_creates_the_account() {
    let mut scene = Scene::begin().await;
    let key = Signer::new("EdDSA", "k");
    let issuer = scene.issuer(Product::Keycloak, &key).await;
    let at = scene.node(&plain(&issuer), &[("VERBATIM_LIMIT_USER", "40/40000:40")]).await;
    let token = key.signs(&issuer.claims("1", "ana"));
    let all = futures_util::future::join_all((0..30).map(|_| account(at, &token))).await;
    assert!(
        all.iter().all(|account| account["id"] == all[0]["id"] && account["username"] == "ana"),
        "{all:?}"
    );
    assert_eq!(issuer.fetches(), 1);

    // Each exchange begins a login, so a user cannot have any number of them.
    for _ in 30..40 {
        exchange(at, &token).await.expect(201);
    }
    let refused = exchange(at, &token).await.refuses(429, "rate_limited");
    assert_eq!(refused["violated-policies"], json!(["user"]));
    exchange(at, &key.signs(&issuer.claims("2", "ben"))).await.expect(201);
    let logins: i64 = scene.world.database.finds("select count(*) from auth.external_login").await;
    assert_eq!(logins, 41);
    scene.world.finish().await;
}

#[tokio::test]
async fn keys_rotate_without_a_restart_and_an_issuer_that_is_down_takes_nothing_away() {
    let mut scene = Scene::begin().await;
    let (old, new) = (Signer::new("RS256", "old"), Signer::new("ES256", "new"));
    let issuer = scene.issuer(Product::Keycloak, &old).await;
    issuer.says("public, max-age=86400");
    let pace = [("VERBATIM_ISSUERS_RETRY", "1"), ("VERBATIM_ISSUERS_REFRESH", "2")];
    let at = scene.node(&plain(&issuer), &pace).await;
    let comes_in =
        async |key: &Signer| exchange(at, &key.signs(&issuer.claims("1", "ana"))).await.status == 201;
    assert!(comes_in(&old).await && !comes_in(&new).await);
    issuer.publishes(&[&old, &new]);
    eventually("the new key counts", || comes_in(&new)).await;
    assert!(comes_in(&old).await);
    // The issuer moves its keys. Its old address still answers.
    let moved = Signer::new("EdDSA", "moved");
    issuer.moves(&[&moved]);
    eventually("the key at the new address counts", || comes_in(&moved)).await;
    scene.world.finish().await;

    // A key set without `max-age` is kept for as long as the setting says, so this story need not take ten minutes.
    let mut scene = Scene::begin().await;
    let issuer = scene.issuer(Product::Keycloak, &old).await;
    issuer.publishes(&[&old, &new]);
    let at = scene.node(&plain(&issuer), &pace).await;
    let comes_in =
        async |key: &Signer| exchange(at, &key.signs(&issuer.claims("1", "ana"))).await.status == 201;
    assert!(comes_in(&old).await && comes_in(&new).await);
    issuer.publishes(&[&new]);
    eventually("the removed key counts no more", || async { !comes_in(&old).await }).await;
    assert!(comes_in(&new).await);
    issuer.is_down(true);
    let node = &scene.world.nodes[0];
    eventually("the node uses keys that are old", || async {
        assert!(comes_in(&new).await, "an issuer that is down takes nothing away");
        node.metric("verbatim_issuer_stale_keys_used_total").await > 0
    })
    .await;
    assert!(
        node.warnings()
            .iter()
            .any(|line| line["message"].as_str().is_some_and(|text| text.contains("keys of an issuer")))
    );
    scene.world.finish().await;
}

#[tokio::test]
async fn an_issuer_that_has_never_answered_is_an_outage_and_no_refusal() {
    let mut scene = Scene::begin().await;
    let key = Signer::new("EdDSA", "k");
    let issuer = scene.issuer(Product::Keycloak, &key).await;
    issuer.is_down(true);
    let at = scene.node(&plain(&issuer), &[("VERBATIM_ISSUERS_RETRY", "1")]).await;
    let token = key.signs(&issuer.claims("1", "ana"));
    let refused = exchange(at, &token).await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.refuses(503, "unavailable");
    issuer.is_down(false);
    eventually("it is asked again", || async { exchange(at, &token).await.status == 201 }).await;
    scene.world.finish().await;
}

#[tokio::test]
async fn a_thousand_unknown_keys_cost_two_fetches_at_most() {
    let mut scene = Scene::begin().await;
    let (key, unknown) = (Signer::new("EdDSA", "k"), Signer::new("EdDSA", "unknown"));
    let issuer = scene.issuer(Product::Keycloak, &key).await;
    let at = scene.node(&plain(&issuer), &[]).await;
    let claims = issuer.claims("1", "ana");
    exchange(at, &key.signs(&claims)).await.expect(201);
    let http = reqwest::Client::new();
    let tries = (0..1000).map(|n| {
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": format!("kid-{n}") });
        let token = unknown.signs_with(&header, &claims);
        let body = json!({ "grant_type": GRANT, "subject_token_type": ACCESS_TOKEN, "subject_token": token });
        send(&http, at, Method::POST, "/v1/logins/exchange", None, Some(body))
    });
    let mut answers = futures_util::StreamExt::buffer_unordered(futures_util::stream::iter(tries), 20);
    while let Some(answer) = futures_util::StreamExt::next(&mut answers).await {
        assert!([401, 429].contains(&answer.status.as_u16()), "{}", answer.body);
    }
    assert!(issuer.fetches() <= 2, "{}", issuer.fetches());
    scene.world.finish().await;
}

#[tokio::test]
async fn tokens_that_were_made_for_something_else_prove_nothing() {
    let mut scene = Scene::begin().await;
    let (key, stranger) = (Signer::new("RS256", "k"), Signer::new("RS256", "k"));
    let issuer = scene.issuer(Product::Keycloak, &key).await;
    let at = scene.node(&(plain(&issuer) + "direct = true\n"), &[]).await;
    let claims = issuer.claims("1", "ana");
    let signed = |changes: Value| key.signs(&with(claims.clone(), changes));
    let header = |changes: Value| {
        key.signs_with(&with(json!({ "alg": "RS256", "typ": "JWT", "kid": "k" }), changes), &claims)
    };
    exchange(at, &signed(json!({}))).await.expect(201);
    exchange(at, &header(json!({ "typ": "at+jwt" }))).await.expect(201);

    let two = |header: Value| {
        format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()))
    };
    let confused = {
        let text = two(json!({ "alg": "HS256", "typ": "JWT", "kid": "k" }));
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &key.public());
        format!("{text}.{}", BASE64URL.encode(hmac::sign(&secret, text.as_bytes())))
    };
    let good = signed(json!({}));
    for (what, token) in [
        ("nothing", String::new()),
        ("a word", "nonsense".into()),
        (
            "no algorithm and no signature",
            format!("{}.", two(json!({ "alg": "none", "typ": "JWT", "kid": "k" }))),
        ),
        ("no signature", format!("{}.", two(json!({ "alg": "RS256", "typ": "JWT", "kid": "k" })))),
        ("the public key as a secret", confused),
        ("the key of a stranger", stranger.signs(&claims)),
        ("a changed signature", format!("{}AAAA", &good[..good.len() - 4])),
        ("another algorithm of the key", header(json!({ "alg": "PS256" }))),
        ("no key named", header(json!({ "kid": null }))),
        ("another type", header(json!({ "typ": "logout+jwt" }))),
        ("no type", header(json!({ "typ": null }))),
        ("an extension that must be understood", header(json!({ "crit": ["exp"] }))),
        ("an ID token", signed(json!({ "nonce": "n" }))),
        ("a user with a zero", signed(json!({ "sub": "1\0" }))),
        ("a session with a zero", signed(json!({ "sid": "s\0" }))),
        ("an ID token with the hash of an access token", signed(json!({ "at_hash": "h" }))),
        ("an ID token of Keycloak", signed(json!({ "typ": "ID" }))),
        (
            "a logout token",
            signed(json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } })),
        ),
        ("another audience", signed(json!({ "aud": "account" }))),
        ("no audience", signed(json!({ "aud": null }))),
        ("exp as a text", signed(json!({ "exp": (now() + 300).to_string() }))),
        ("no exp", signed(json!({ "exp": null }))),
        ("no iat", signed(json!({ "iat": null }))),
        ("a life of 30 days", signed(json!({ "exp": now() + 30 * 86_400 }))),
        ("from tomorrow", signed(json!({ "iat": now() + 86_400, "exp": now() + 86_700 }))),
        ("not before tomorrow", signed(json!({ "nbf": now() + 86_400 }))),
        ("our own name for the issuer", signed(json!({ "iss": "verbatim" }))),
        ("no user", signed(json!({ "sub": null }))),
        ("10 KiB", signed(json!({ "more": "x".repeat(7_000) }))),
    ] {
        let refused = exchange(at, &token).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.body["code"]),
            (401, &json!("invalid_token")),
            "{what}: {}",
            refused.body
        );
        // The token itself is refused everywhere else too.
        if !token.is_empty() {
            let refused = me(at, &token).await;
            assert_eq!(
                (refused.status.as_u16(), &refused.body["code"]),
                (401, &json!("invalid_token")),
                "{what}"
            );
        }
    }
    exchange(at, &signed(json!({ "iat": now() - 700, "exp": now() - 100 })))
        .await
        .refuses(401, "token_expired");
    for iss in [format!("{}/", issuer.iss), "https://evil.example".into()] {
        exchange(at, &signed(json!({ "iss": iss }))).await.refuses(401, "unknown_issuer");
        me(at, &signed(json!({ "iss": iss }))).await.refuses(401, "unknown_issuer");
    }
    scene.world.finish().await;
}

#[tokio::test]
async fn rules_of_an_issuer_are_checked_and_read_again_on_a_signal() {
    let mut scene = Scene::begin().await;
    let (key, other) = (Signer::new("EdDSA", "k"), Signer::new("EdDSA", "k"));
    let issuer = scene.issuer(Product::Keycloak, &key).await;
    let second = scene.issuer(Product::Keycloak, &other).await;
    let at = scene.node(&(plain(&issuer) + "jit = false\n"), &[]).await;
    let file = scene.world.dir().join("issuers.toml");
    let (first, later) = (key.signs(&issuer.claims("1", "ana")), other.signs(&second.claims("1", "ben")));
    let refused = exchange(at, &first).await.refuses(401, "invalid_token");
    assert!(refused["detail"].as_str().expect("a text").contains("no account"), "{refused}");
    exchange(at, &later).await.refuses(401, "unknown_issuer");

    let node = &scene.world.nodes[0];
    fs::write(&file, "nonsense").expect("a file");
    signal(node.pid(), "HUP").await;
    eventually("the node tells of a bad file", || async {
        !node.lines_with("could not reload the issuers").is_empty()
    })
    .await;
    exchange(at, &first).await.refuses(401, "invalid_token");

    fs::write(&file, plain(&issuer) + "sync = true\n" + &plain(&second)).expect("a file");
    signal(node.pid(), "HUP").await;
    eventually("the node knows the second issuer", || async { exchange(at, &later).await.status == 201 })
        .await;
    let before = account(at, &first).await;
    let login = exchange(at, &first).await.expect(201);
    let mut device =
        Device::gets_in(at, login["access_token"].as_str().expect("a token")).await.expect("a socket");
    let renamed = with(issuer.claims("1", "zoe"), json!({ "name": "Zoë of Keycloak" }));
    let after = account(at, &key.signs(&renamed)).await;
    assert_eq!(after["id"], before["id"]);
    assert_eq!((&after["username"], &after["display_name"]), (&json!("ana"), &json!("Zoë of Keycloak")));
    assert_eq!(device.gets("user").await["display_name"], "Zoë of Keycloak");

    let settings = [
        ("VERBATIM_ISSUERS_FILE", file.to_str().expect("UTF-8")),
        ("VERBATIM_OUTBOUND_CA_FILE", scene.authority.file.to_str().expect("UTF-8")),
    ];
    let refused = scene.world.runs_with(&["check", "issuers"], &settings).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stdout.contains("no address that may be used"), "{refused:?}");
    let allowed = [settings[0], settings[1], ("VERBATIM_ISSUERS_ALLOW", "127.0.0.0/8,::1")];
    let fine = scene.world.runs_with(&["check", "issuers"], &allowed).await;
    assert_eq!(fine.code, Some(0), "{fine:?}");
    assert!(fine.stdout.contains(&format!("ok       issuer {}: 1 keys", issuer.iss)), "{fine:?}");
    scene.world.finish().await;
}

/// Notifies a node of a log-out, like an issuer.
async fn logs_out(at: SocketAddr, token: &str) -> (u16, Value) {
    let form = format!("logout_token={token}");
    let request = reqwest::Client::new().post(format!("http://{at}/v1/backchannel-logout")).body(form);
    let answer =
        request.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let (status, text) = (answer.status().as_u16(), answer.text().await.expect("text"));
    (status, serde_json::from_str(&text).unwrap_or_default())
}

/// The claims of a logout token.
fn logout(issuer: &Issuer, id: &str, changes: Value) -> Value {
    let claims = json!({
        "iss": issuer.iss, "aud": "verbatim", "iat": now(), "exp": now() + 120, "jti": id, "sid": "session-1",
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    with(claims, changes)
}

#[tokio::test]
async fn a_token_of_an_issuer_is_used_as_it_is_until_the_issuer_logs_the_user_out() {
    let mut scene = Scene::begin().await;
    let (key, other) = (Signer::new("ES256", "k"), Signer::new("ES256", "k"));
    let issuer = scene.issuer(Product::Keycloak, &key).await;
    let second = scene.issuer(Product::Keycloak, &other).await;
    let file = plain(&issuer) + "direct = true\nsync = true\n" + &plain(&second);
    let at = scene.node(&file, &[]).await;
    let elsewhere = scene.node(&file, &[]).await;
    let signs = |subject: &str, changes: Value| key.signs(&with(issuer.claims(subject, "ana"), changes));
    let token = signs("1", json!({}));

    // REST and sockets know the same account as an exchange.
    let account_id = account(at, &token).await["id"].clone();
    assert_eq!(me(at, &token).await.expect(200)["id"], account_id);
    let mut socket = Device::connects(elsewhere, &token).await;
    assert_eq!(socket.ready["user_id"], account_id);
    me(at, &other.signs(&second.claims("1", "ana"))).await.refuses(401, "invalid_token");
    me(at, &other.signs(&issuer.claims("1", "ana"))).await.refuses(401, "invalid_token");
    me(at, &signs("1", json!({ "exp": now() + 30 * 86_400 }))).await.refuses(401, "invalid_token");
    me(at, &signs("1", json!({ "iat": now() - 700, "exp": now() - 100 })))
        .await
        .refuses(401, "token_expired");
    me(at, &signs("1", json!({ "iss": "https://evil.example" }))).await.refuses(401, "unknown_issuer");
    // A later token of the session renews the socket.
    let later = signs("1", json!({ "exp": now() + 600, "jti": "later" }));
    socket.tells(json!({ "op": "authenticate", "id": "renews", "token": later })).await;
    socket.waits_for("an acknowledgement", |frame| frame["op"] == "ack" && frame["id"] == "renews").await;
    let ours = exchange(at, &token).await.expect(201)["access_token"].as_str().expect("a token").to_owned();

    // Invalid log-outs end nothing.
    let signed = |id: &str, changes: Value| {
        let header = json!({ "alg": "ES256", "typ": "logout+jwt", "kid": "k" });
        key.signs_with(&header, &logout(&issuer, id, changes))
    };
    for refused in [
        "nonsense".to_owned(),
        token.clone(),
        other.signs(&logout(&issuer, "1", json!({}))),
        signed("1", json!({ "nonce": "n" })),
        signed("1", json!({ "events": {} })),
        signed("1", json!({ "aud": "another" })),
        signed("1", json!({ "iat": now() - 7000, "exp": now() - 6000 })),
        signed("1", json!({ "sid": null })),
    ] {
        let (status, problem) = logs_out(at, &refused).await;
        assert_eq!((status, &problem["code"]), (400, &json!("invalid_token")), "{problem}");
    }
    me(at, &token).await.expect(200);

    let over = signed("2", json!({}));
    assert_eq!(logs_out(at, &over).await.0, 200);
    let began = std::time::Instant::now();
    let closed = socket.waits_for("the end of the socket", |frame| frame["op"] == "closed").await;
    assert_eq!(closed["code"], 4503, "{closed}");
    assert!(began.elapsed().as_millis() < 1_000, "{:?}", began.elapsed());
    for address in [at, elsewhere] {
        for gone in [&token, &later, &ours] {
            me(address, gone).await.refuses(401, "login_revoked");
        }
    }
    let refused = exchange(at, &token).await.refuses(401, "invalid_token");
    assert!(refused["detail"].as_str().expect("a text").contains("session"), "{refused}");
    assert_eq!(logs_out(at, &over).await.0, 400, "a logout token counts once");

    // This log-out is for all sessions of a user, even one that no node has seen before.
    let unseen = json!({ "sid": "unseen", "iat": now() - 5, "name": "an earlier name" });
    let unseen = with(issuer.claims("2", "ben"), unseen);
    let unseen = key.signs(&unseen);
    let seen = key.signs(&with(issuer.claims("2", "ben"), json!({ "iat": now() - 5 })));
    let ben = me(elsewhere, &seen).await.expect(200);
    assert_eq!(logs_out(at, &signed("3", json!({ "sid": null, "sub": "2" }))).await.0, 200);
    eventually("the other node has heard of it", || async { me(elsewhere, &seen).await.status == 401 }).await;
    me(elsewhere, &unseen).await.refuses(401, "login_revoked");
    // A token that counts no more changes no account, and makes none.
    let named: String =
        scene.world.database.finds("select display_name from auth.account where username = 'ben'").await;
    assert_eq!(named, "ben of Keycloak");
    assert_eq!(logs_out(at, &signed("4", json!({ "sid": null, "sub": "9" }))).await.0, 200);
    let stranger = key.signs(&with(issuer.claims("9", "nina"), json!({ "iat": now() - 5 })));
    exchange(at, &stranger).await.refuses(401, "invalid_token");
    me(at, &stranger).await.refuses(401, "login_revoked");
    let accounts: i64 =
        scene.world.database.finds("select count(*) from auth.account where username like 'nina%'").await;
    assert_eq!(accounts, 0);
    let back =
        with(issuer.claims("2", "ben"), json!({ "sid": "back", "iat": now() + 5, "exp": now() + 300 }));
    assert_eq!(me(elsewhere, &key.signs(&back)).await.expect(200)["id"], ben["id"], "the user has come back");
    scene.world.finish().await;
}

#[tokio::test]
async fn a_token_of_an_issuer_is_logged_out_here_and_a_socket_ends_with_its_token() {
    let mut scene = Scene::begin().await;
    let key = Signer::new("EdDSA", "k");
    let issuer = scene.issuer(Product::Keycloak, &key).await;
    let at = scene.node(&(plain(&issuer) + "direct = true\n"), &[]).await;
    let token = key.signs(&issuer.claims("1", "ana"));
    me(at, &token).await.expect(200);
    let http = reqwest::Client::new();
    let out = send(&http, at, Method::DELETE, "/v1/logins/current", Some(&token), None).await;
    assert_eq!(out.status, 204);
    me(at, &token).await.refuses(401, "login_revoked");
    let twice = send(&http, at, Method::DELETE, "/v1/logins/current", Some(&token), None).await;
    assert_eq!(twice.status, 204, "{}", twice.body);
    // The row of the login says so too, once the deny set has forgotten it.
    let again = scene.node(&(plain(&issuer) + "direct = true\n"), &[]).await;
    me(again, &token).await.refuses(401, "login_revoked");

    // The tolerance is 30 seconds. A slow machine may open no socket before the end, so the next token ends later.
    let mut lives = [3, 9, 27].into_iter();
    let mut socket = loop {
        let end = now() - 30 + lives.next().expect("a socket that opens before its token ends");
        let short = key.signs(&with(issuer.claims("2", "ben"), json!({ "iat": now() - 60, "exp": end })));
        if let Some(socket) = Device::gets_in(at, &short).await {
            break socket;
        }
    };
    let closed = socket.waits_for("the end of the socket", |frame| frame["op"] == "closed").await;
    assert_eq!(closed["code"], 4401, "{closed}");
    scene.world.finish().await;
}

/// The audit events about an issuer.
async fn told_of(scene: &Scene, iss: &str) -> Vec<String> {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, iss.as_bytes());
    let subject: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    events_of(&scene.world, &subject).await.into_iter().map(|(word, _)| word).collect()
}

#[tokio::test]
async fn an_issuer_that_comes_or_goes_is_one_event_however_many_nodes_read_the_file() {
    let mut scene = Scene::begin().await;
    let key = Signer::new("EdDSA", "k");
    let one = scene.issuer(Product::Keycloak, &key).await;
    let other = scene.issuer(Product::Keycloak, &key).await;
    let file = plain(&one);
    let nodes = [scene.node(&file, &[]).await, scene.node(&file, &[]).await, scene.node(&file, &[]).await];
    eventually("the issuer is noted", async || !told_of(&scene, &one.iss).await.is_empty()).await;

    // A node has reloaded the file when it accepts tokens of the new issuer and refuses those of the old one.
    fs::write(scene.world.dir().join("issuers.toml"), plain(&other)).expect("a file");
    for node in &scene.world.nodes {
        signal(node.pid(), "HUP").await;
    }
    for at in nodes {
        let token = key.signs(&other.claims("1", "ana"));
        eventually("the node has read the file", async || exchange(at, &token).await.status == 201).await;
    }
    eventually("the change is noted", async || told_of(&scene, &one.iss).await.len() > 1).await;
    // A node that starts with the same file finds nothing new.
    scene.node(&plain(&other), &[]).await;
    for _ in 0..3 {
        assert_eq!(told_of(&scene, &one.iss).await, ["issuer.added", "issuer.removed"]);
        assert_eq!(told_of(&scene, &other.iss).await, ["issuer.added"]);
    }
    let trail = scene.world.runs(&["audit", "tail", "--from", "0", "--area", "issuer"]).await;
    assert!(trail.stdout.lines().count() == 3 && !trail.stdout.contains("localhost"), "{trail:?}");
    scene.world.finish().await;
}

#[tokio::test]
async fn others_find_our_keys_by_our_document() {
    let world = World::start().await;
    let at = world.nodes[0].address;
    let found = ask(at, Method::GET, "/.well-known/openid-configuration", None).await;
    assert_eq!(found.headers["cache-control"], "public, max-age=300");
    let document = found.expect(200);
    assert_eq!(document["issuer"], "verbatim");
    assert_eq!(document["jwks_uri"], format!("http://{at}/.well-known/jwks.json"));
    let keys = ask(at, Method::GET, "/.well-known/jwks.json", None).await;
    assert_eq!(keys.headers["cache-control"], "public, max-age=300");
    assert_eq!(keys.expect(200)["keys"][0]["kty"], "OKP");
    world.finish().await;
}
