//! Permissions: `tests/matrix.toml`, cell by cell, against a running server.

mod commands;
mod scene;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use scene::{Cast, Scene};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    issuers,
    world::{Answer, Device, ON_BEHALF_OF, Product, Signer, World, open, open_with, template::Template},
};

/// The number of cells that are tested at once.
const AT_ONCE: usize = 4;

#[derive(Deserialize)]
struct Matrix {
    columns: String,
    operations: BTreeMap<String, String>,
    requests: BTreeMap<String, Request>,
    frames: BTreeMap<String, String>,
    fields: BTreeMap<String, String>,
}

/// Overrides of the default request for a path.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Request {
    id: Option<String>,
    message_id: Option<String>,
    user_id: Option<String>,
    name: Option<String>,
    query: Option<String>,
    body: Option<String>,
}

fn matrix() -> Matrix {
    toml::from_str(include_str!("../matrix.toml")).expect("tests/matrix.toml")
}

/// The name of a row without the word in brackets.
fn about(row: &str) -> &str {
    row.split(" (").next().unwrap_or(row)
}

/// The method and path of every operation.
pub fn operations() -> BTreeMap<String, (Method, String)> {
    let document: Value = serde_json::from_str(include_str!("../../openapi/openapi.json")).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").iter();
    let all = paths.flat_map(|(path, methods)| {
        let of_path = methods.as_object().expect("operations").iter();
        of_path.map(move |(method, operation)| {
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            (id, (method.to_uppercase().parse().expect("a method"), path.clone()))
        })
    });
    all.collect()
}

/// Every frame of a client.
pub fn frames() -> BTreeSet<&'static str> {
    let document = include_str!("../../openapi/asyncapi.yaml");
    let named = document.split("#/channels/socket/messages/client.").skip(1);
    named.filter_map(|rest| rest.split('"').next()).collect()
}

fn cells<'a>(matrix: &'a Matrix, rows: &'a BTreeMap<String, String>) -> Vec<(&'a str, &'a str, &'a str)> {
    let columns: Vec<&str> = matrix.columns.split_whitespace().collect();
    let mut all = Vec::new();
    for (row, answers) in rows {
        let answers: Vec<&str> = answers.split_whitespace().collect();
        assert_eq!(answers.len(), columns.len(), "{row} has an answer for each column");
        all.extend(columns.iter().zip(answers).map(|(column, answer)| (&**row, *column, answer)));
    }
    all
}

#[test]
fn every_operation_and_every_frame_has_a_row() {
    let matrix = matrix();
    let rows: BTreeSet<&str> = matrix.operations.keys().map(|row| about(row)).collect();
    let operations = operations();
    assert_eq!(rows, operations.keys().map(String::as_str).collect());
    let rows: BTreeSet<&str> = matrix.frames.keys().map(|row| about(row)).collect();
    assert_eq!(rows, frames());
    for row in matrix.requests.keys() {
        assert!(matrix.operations.contains_key(row), "{row} is asked for and has no row");
    }
}

/// Servers with an issuer, and all people.
async fn stage() -> (World, Cast) {
    let mut issuers = issuers::Scene::begin().await;
    let signer = Signer::new("EdDSA", "k");
    let issuer = issuers.issuer(Product::Keycloak, &signer).await;
    issuers.node(&(issuers::plain(&issuer) + "direct = true\n"), &[]).await;
    let world = issuers.world;
    let cast = Cast::gathers(&world, issuer, signer).await;
    (world, cast)
}

#[tokio::test]
async fn every_cell_of_the_matrix_is_answered_as_it_says() {
    let (world, cast) = stage().await;
    let (matrix, operations) = (matrix(), operations());
    let standing = cast.stands(matrix.columns.split_whitespace()).await;
    let (matrix, cast, standing) = (&matrix, &cast, &standing);

    let asked = cells(matrix, &matrix.operations).into_iter().map(|(row, column, expected)| {
        let (method, path) = operations[about(row)].clone();
        async move {
            let on_account = !path.starts_with("/v1/conversations/");
            let changes = method != Method::GET && expected.starts_with('2');
            let scene = &*standing.scene(cast, column, on_account, changes).await;
            let default = Request::default();
            let request = matrix.requests.get(row).unwrap_or(&default);
            let answer = asks(scene, &scene.template, &method, &path, request).await;
            let word = match answer.status.as_u16() {
                ok @ 200..300 => ok.to_string(),
                _ => answer.body["code"].as_str().expect("a code").to_owned(),
            };
            if word == "not_found" && !on_account {
                is_like_nothing(scene, answer, &method, &path, request).await;
            }
            difference(row, column, expected, &word)
        }
    });
    let mut different: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;

    let told = cells(matrix, &matrix.frames).into_iter().map(|(row, column, expected)| async move {
        let (op, changes) = (about(row), expected == "ack");
        let scene = &*standing.scene(cast, column, op == "authenticate", changes).await;
        let word = tells(scene, op, &matrix.fields[row]).await;
        difference(row, column, expected, &word)
    });
    different.extend(stream::iter(told).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
    let different: Vec<String> = different.into_iter().flatten().collect();
    assert!(different.is_empty(), "{different:#?}");
    world.finish().await;
}

fn difference(row: &str, column: &str, expected: &str, word: &str) -> Option<String> {
    (word != expected).then(|| format!("{row}, {column}: {word} instead of {expected}"))
}

async fn asks(scene: &Scene, template: &Template, method: &Method, path: &str, with: &Request) -> Answer {
    let part = |given: &Option<String>, or: &str| template.fill(given.as_deref().unwrap_or(or));
    let mut path = path
        .replace("{id}", &part(&with.id, "${conversation}"))
        .replace("{external_id}", &template.fill("${external_id}"))
        .replace("{message_id}", &part(&with.message_id, "${message}"))
        .replace("{user_id}", &part(&with.user_id, "${guest}"))
        .replace("{name}", &part(&with.name, "search"))
        .replace("{key_id}", &template.fill("${service_key}"))
        .replace("{emoji}", "%F0%9F%91%8D");
    if let Some(query) = &with.query {
        path = format!("{path}?{}", template.fill(query));
    }
    let body = with.body.as_deref().map(|body| serde_json::from_str(&template.fill(body)).expect("JSON"));
    let caller = scene.caller.with_token(scene.token.as_deref());
    let caller = match &scene.on_behalf_of {
        Some(user) => caller.with_header(ON_BEHALF_OF, user),
        None => caller,
    };
    caller.send(method.clone(), &path, body).await
}

/// Asserts that a hidden object gets the same answer as a missing one.
async fn is_like_nothing(scene: &Scene, answer: Answer, method: &Method, path: &str, with: &Request) {
    let nothing = scene.template.clone().with("conversation", uuid::Uuid::now_v7().to_string());
    let other = asks(scene, &nothing, method, path, with).await;
    let told = |mut answer: Answer| {
        answer.body["request_id"].take();
        let mut names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        (answer.status, names, answer.body)
    };
    assert_eq!(told(answer), told(other), "{method} {path}");
}

/// Sends a frame on a socket. Returns the matrix's word for the answer.
async fn tells(scene: &Scene, op: &str, fields: &str) -> String {
    let address = scene.caller.address;
    let Some(token) = &scene.token else {
        return open(address, None).await.expect_err("no socket without a token").to_string();
    };
    if let Some(user) = &scene.on_behalf_of {
        let opened = open_with(address, Some(token), &[(ON_BEHALF_OF, user)]).await;
        return opened.expect_err("no socket on behalf of a user").to_string();
    }
    let mut frame: Value = serde_json::from_str(&scene.template.fill(fields)).expect("JSON");
    (frame["op"], frame["id"]) = (op.into(), "asked".into());
    let hello = if op == "hello" { frame.clone() } else { json!({ "op": "hello" }) };
    let mut device = Device::says_hello(address, token, hello).await;
    let begun =
        device.waits_for("a beginning", |frame| matches!(frame["op"].as_str(), Some("ready" | "closed")));
    let begun = begun.await;
    if begun["op"] == "closed" {
        return begun["code"].to_string();
    }
    if op == "hello" {
        return "ready".to_owned();
    }
    device.tells(frame).await;
    device.tells(json!({ "op": "ping", "id": "after" })).await;
    // Frames about typing and presence come before the answer to the ping. Receipts are collected first.
    let is_answer = |frame: &Value| frame["id"] == "asked" || frame["op"] == "closed";
    let answer = device
        .waits_for("an answer", |frame| {
            is_answer(frame) || (frame["id"] == "after" && op != "read" && op != "delivered")
        })
        .await;
    match answer["op"].as_str() {
        Some("closed") => answer["code"].to_string(),
        Some("error") => answer["code"].as_str().expect("a code").to_owned(),
        Some("pong") if answer["id"] == "after" => "silence".to_owned(),
        Some(op) => op.to_owned(),
        None => panic!("a frame without op: {answer}"),
    }
}
