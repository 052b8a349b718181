//! Problems: each kind is explained, and the examples in the document are real answers.

use reqwest::{Client, Method, header};
use serde_json::{Value, json};

use crate::world::{ALL_SCOPES, Answer, Program, World, ask};

#[tokio::test]
async fn every_kind_of_problem_is_explained_where_its_type_points() {
    let world = World::start().await;
    let at = world.nodes[0].address;
    let refused = ask(at, Method::GET, "/v1/me", None).await.refuses(401, "missing_token");
    let kind = refused["type"].as_str().expect("a reference").to_owned();
    let explained = ask(at, Method::GET, &kind, None).await.expect(200);
    assert_eq!((&explained["code"], &explained["type"]), (&json!("missing_token"), &json!(kind)));
    assert!(
        explained["cause"].is_string()
            && explained["cure"].as_str().is_some_and(|cure| cure.contains("Bearer"))
    );

    let document = ask(at, Method::GET, "/openapi.json", None).await.expect(200);
    let listed = &document["components"]["schemas"]["Problem"]["properties"]["code"]["x-codes"];
    assert_eq!(*listed, ask(at, Method::GET, "/problems/", None).await.expect(200), "one list");
    for code in listed.as_array().expect("a list") {
        let path = code["type"].as_str().expect("a reference");
        assert_eq!(ask(at, Method::GET, path, None).await.expect(200), *code);
    }
    let page = async |path: &str| {
        let page = Client::new().get(format!("http://{at}{path}"));
        let page = page.header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8").send().await;
        let page = page.expect("an answer");
        assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        page.text().await.expect("text")
    };
    let list = page("/problems").await;
    assert!(list.contains(&format!("href=\"{kind}\"")), "{list}");
    let text = page(&kind).await;
    assert!(text.contains("<code>missing_token</code>") && !text.contains("Bearer <"), "{text}");
    ask(at, Method::GET, "/problems/no_such_thing", None).await.refuses(404, "not_found");
    for (method, path, allowed) in [
        (Method::POST, "/docs/", "GET, HEAD"),
        (Method::PUT, "/openapi.json", "GET, HEAD"),
        (Method::DELETE, &kind, "GET, HEAD"),
        (Method::GET, "/v1/backchannel-logout", "POST"),
    ] {
        let refused = Client::new().request(method, format!("http://{at}{path}")).send().await;
        let refused = refused.expect("an answer");
        assert_eq!(refused.status().as_u16(), 405, "{path}");
        assert_eq!(refused.headers()[header::ALLOW], allowed, "{path}");
    }
    world.finish_without_views().await;
}

/// A request that provokes an example of 400: with an unknown parameter, a body without a field, or an invalid body.
fn provoking(example: &Value) -> (&'static str, Option<Value>) {
    let error = &example["errors"][0];
    match (error["code"].as_str(), error["pointer"].as_str()) {
        (Some("unknown_parameter"), _) => ("?colour=blue", None),
        (Some("missing"), _) => ("", Some(json!({}))),
        (Some("wrong_type"), Some("")) => ("", Some(json!([]))),
        _ => panic!("an example of another kind: {example}"),
    }
}

#[tokio::test]
async fn the_documents_examples_of_400_are_answers_of_their_operations() {
    let world = World::start().await;
    let ana = world.person("ana").await;
    let program = Program::bootstraps(&world).await.makes("host", ALL_SCOPES).await.person;
    let document = ana.get("/openapi.json").await.expect(200);
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let example = &operation["responses"]["400"]["content"]["application/problem+json"]["example"];
            let (query, body) = provoking(example);
            let id = match path.starts_with("/v1/admin/webhooks/") {
                true => "we_01930f3d0c117a529b3e4d5f60718293",
                false => "01930f3d-0c11-7a52-9b3e-4d5f60718293",
            };
            let there = path.split('/').map(|part| if part.starts_with('{') { id } else { part });
            let there = there.collect::<Vec<_>>().join("/") + query;
            let method: Method = method.to_uppercase().parse().expect("a method");
            let is_for_programs =
                ["/v1/admin/", "/v1/provision/"].iter().any(|begin| path.starts_with(begin));
            let caller = if is_for_programs { &program } else { &ana };
            let Answer { status, body: told, .. } = caller.send(method.clone(), &there, body).await;
            assert_eq!(status, 400, "{method} {there}: {told}");
            for field in ["type", "title", "status", "code", "detail", "errors"] {
                assert_eq!(told[field], example[field], "{method} {there}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 43, "{tried}");
    let gone =
        &document["paths"]["/v1/events"]["get"]["responses"]["410"]["content"]["application/problem+json"];
    let told = ana.get("/v1/events?after=nonsense").await.refuses(410, "cursor_gone");
    assert_eq!(told["detail"], gone["example"]["detail"]);
    assert_eq!(told["errors"][0]["code"], "cursor_unreadable");
    assert_eq!(told["errors"], gone["example"]["errors"]);
    world.finish_without_views().await;
}

#[tokio::test]
async fn every_door_refuses_with_the_same_headers_and_members() {
    let world = World::start().await;
    let url = |path: &str| format!("http://{}{path}", world.nodes[0].address);
    let client = Client::new();
    let socket = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "verbatim.v1"),
    ];
    let handshake = |id| {
        let request = client.get(url("/v1/ws")).header("x-request-id", id);
        socket.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let large =
        client.post(url("/v1/logins")).header("x-request-id", "the-listener").body("x".repeat(65_537));
    let doors = [
        ("the-listener", 413, "too_large", "Too large", large),
        ("the-rest-edge", 401, "missing_token", "Missing token", {
            client.get(url("/v1/me")).header("x-request-id", "the-rest-edge")
        }),
        ("no-operation", 404, "not_found", "Not found", {
            client.get(url("/nothing")).header("x-request-id", "no-operation")
        }),
        ("the-handshake", 401, "missing_token", "Missing token", handshake("the-handshake")),
    ];
    for (id, status, code, title, request) in doors {
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{id}");
        for (name, value) in [
            ("content-type", "application/problem+json"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-request-id", id),
        ] {
            let values: Vec<_> = answer.headers().get_all(name).iter().collect();
            assert_eq!(values, [value], "{id}: {name}");
        }
        let challenge = answer.headers().get("www-authenticate");
        assert_eq!(challenge.is_some_and(|scheme| scheme == "Bearer"), status == 401, "{id}");
        let told: Value = answer.json().await.expect("JSON");
        let members: Vec<_> = told.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(members, ["code", "detail", "request_id", "status", "title", "type"], "{id}");
        let kind = format!("/problems/{code}");
        let expected =
            json!({ "type": kind, "title": title, "status": status, "code": code, "request_id": id });
        for (name, value) in expected.as_object().expect("an object") {
            assert_eq!(told[name], *value, "{id}: {name}");
        }
    }
    // Nothing in a malformed head is trusted, so its refusal gets a new request id.
    let twice = client.get(url("/")).header("authorization", "one").header("authorization", "two");
    let answer = twice.header("x-request-id", "unread-name").send().await.expect("an answer");
    assert_eq!(answer.status(), 400);
    let id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.json::<Value>().await.expect("JSON")["request_id"], id);
    world.finish_without_views().await;
}
