//! Tests of the document of all operations, and of the route of the gateway beside them.

use std::{fs, path::Path};

use poem::{Request, Route, endpoint::make_sync, get, http::StatusCode};
use serde_json::{Value, json};

use crate::{
    api::{
        self,
        tests::{Things, calm, edge, routes},
    },
    limits::{RateLimits, Rates},
};

pub(super) fn document() -> Value {
    serde_json::from_str(&api::document()).expect("json")
}

/// All operations, each with its method and path.
pub(super) fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").iter();
            methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
        })
        .collect()
}

#[test]
fn committed_document_is_that_of_the_operations() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/openapi.json");
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().expect("folder")).expect("folder");
        fs::write(&path, api::document()).expect("written");
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == api::document(),
        "openapi/openapi.json is out of date: run `UPDATE=1 cargo test --lib committed_document` and commit it"
    );
}

#[test]
fn every_operation_of_the_contract_is_there() {
    let document = document();
    let mut found: Vec<_> = operations(&document).into_iter().map(|(operation, _)| operation).collect();
    let mut expected = [
        "post /v1/admin/erasures",
        "get /v1/admin/erasures/{id}",
        "post /v1/admin/holds",
        "get /v1/admin/holds",
        "get /v1/admin/holds/{id}",
        "delete /v1/admin/holds/{id}",
        "post /v1/admin/exports",
        "get /v1/admin/exports/{id}",
        "post /v1/me/erasure",
        "get /v1/me/erasure",
        "delete /v1/me/erasure",
        "post /v1/me/exports",
        "get /v1/me/exports",
        "get /v1/me/exports/{id}",
        "get /v1/exports/{id}",
        "get /v1/me/invitations",
        "delete /v1/me/invitations/{id}",
        "post /v1/me/invitations/{id}/accept",
        "put /v1/provision/users/{external_id}",
        "get /v1/provision/users/{external_id}",
        "delete /v1/provision/users/{external_id}",
        "post /v1/provision/users/{external_id}/reactivate",
        "post /v1/provision/users/{external_id}/tokens",
        "post /v1/provision/users",
        "put /v1/provision/conversations/{external_id}",
        "get /v1/provision/conversations/{external_id}",
        "post /v1/accounts",
        "post /v1/accounts/recovery",
        "post /v1/admin/users/{id}/deactivate",
        "post /v1/admin/users/{id}/reactivate",
        "post /v1/admin/users/{id}/recovery",
        "post /v1/admin/invites",
        "get /v1/admin/invites",
        "delete /v1/admin/invites/{id}",
        "get /v1/admin/audit",
        "get /v1/admin/conversations/{id}/roster",
        "post /v1/logins",
        "get /v1/logins",
        "post /v1/logins/exchange",
        "post /v1/logins/refresh",
        "delete /v1/logins/{id}",
        "delete /v1/logins/current",
        "put /v1/me/password",
        "get /v1/me",
        "patch /v1/me",
        "get /v1/me/blocks",
        "put /v1/me/blocks/{id}",
        "delete /v1/me/blocks/{id}",
        "get /v1/users",
        "get /v1/users/{id}",
        "get /v1/users/{id}/presence",
        "get /v1/conversations/{id}/presence",
        "post /v1/conversations/{id}/typing",
        "post /v1/conversations",
        "get /v1/conversations",
        "get /v1/conversations/{id}",
        "patch /v1/conversations/{id}",
        "get /v1/conversations/{id}/settings",
        "patch /v1/conversations/{id}/settings",
        "get /v1/conversations/{id}/members",
        "post /v1/conversations/{id}/members",
        "patch /v1/conversations/{id}/members/{user_id}",
        "delete /v1/conversations/{id}/members/{user_id}",
        "post /v1/conversations/{id}/messages",
        "get /v1/conversations/{id}/messages",
        "get /v1/conversations/{id}/messages/{message_id}",
        "patch /v1/conversations/{id}/messages/{message_id}",
        "delete /v1/conversations/{id}/messages/{message_id}",
        "get /v1/conversations/{id}/messages/{message_id}/versions",
        "get /v1/conversations/{id}/messages/{message_id}/reactions",
        "put /v1/conversations/{id}/messages/{message_id}/reactions/{emoji}",
        "delete /v1/conversations/{id}/messages/{message_id}/reactions/{emoji}",
        "put /v1/conversations/{id}/messages/{message_id}/pin",
        "delete /v1/conversations/{id}/messages/{message_id}/pin",
        "get /v1/conversations/{id}/pins",
        "put /v1/conversations/{id}/receipt",
        "get /v1/conversations/{id}/receipts",
        "get /v1/messages",
        "get /v1/events",
        "get /v1/info",
        "post /v1/admin/services",
        "get /v1/admin/services",
        "post /v1/admin/services/{id}/keys",
        "get /v1/admin/services/{id}/keys",
        "post /v1/admin/services/{id}/keys/{key_id}/rotate",
        "delete /v1/admin/services/{id}/keys/{key_id}",
        "post /v1/admin/consumers",
        "get /v1/admin/consumers",
        "get /v1/admin/consumers/{name}",
        "delete /v1/admin/consumers/{name}",
        "post /v1/admin/consumers/{name}/rotate",
        "post /v1/admin/consumers/{name}/replay",
        "get /v1/admin/consumers/{name}/parked",
        "post /v1/admin/consumers/sweep",
        "post /v1/admin/webhooks",
        "get /v1/admin/webhooks",
        "get /v1/admin/webhooks/{id}",
        "patch /v1/admin/webhooks/{id}",
        "delete /v1/admin/webhooks/{id}",
        "post /v1/admin/webhooks/{id}/rotate",
        "post /v1/admin/webhooks/{id}/test",
        "post /v1/admin/webhooks/{id}/enable",
        "post /v1/admin/webhooks/{id}/disable",
        "get /v1/admin/webhooks/{id}/deliveries",
        "post /v1/admin/webhooks/{id}/replay",
    ];
    found.sort();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn every_operation_says_what_it_is() {
    let document = document();
    for (name, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(!parameter["name"].as_str().expect("name").starts_with('_'), "{name}: {parameter}");
        }
        for key in ["operationId", "summary", "description"] {
            assert!(operation[key].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {key}");
        }
        let responses = operation["responses"].as_object().expect("responses");
        for status in ["400", "429", "503", "default"] {
            assert!(responses.contains_key(status), "{name} does not document {status}");
        }
        let is_public = [
            "register",
            "recover_account",
            "log_in",
            "refresh_login",
            "exchange_token",
            "get_info",
            "download_export",
        ]
        .contains(&operation["operationId"].as_str().expect("id"));
        let secured = operation["security"] == json!([{"bearer": []}]);
        assert_ne!(is_public, secured, "{name}");
        assert!(secured || operation["security"] == json!([]), "{name}");
        assert!(is_public || responses.contains_key("401"), "{name} does not document 401");
        let is_of_one = ["{id}", "{external_id}", "{name}"].iter().any(|one| name.contains(one))
            // A caller has at most one erasure, and a search may be in one conversation.
            || ["get /v1/me/erasure", "delete /v1/me/erasure", "get /v1/messages"].contains(&name.as_str());
        assert_eq!(is_of_one, responses.contains_key("404"), "{name}");
    }
}

/// Every read whose response has user ids can also include the names. The reads in this list cannot: they return whole
/// users, no users, or events, or they serve operators or host applications.
#[test]
fn every_read_with_ids_of_users_gives_their_names() {
    let document = document();
    let without: Vec<String> = operations(&document)
        .into_iter()
        .filter(|(name, operation)| {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            name.starts_with("get ") && !parameters.into_iter().any(|one| one["name"] == "include")
        })
        .map(|(name, _)| name)
        .collect();
    // Audit events and invitation codes are for operators, and deliberately have no names.
    let expected = [
        "get /v1/admin/audit",
        "get /v1/admin/consumers",
        "get /v1/admin/consumers/{name}",
        "get /v1/admin/consumers/{name}/parked",
        "get /v1/admin/conversations/{id}/roster",
        "get /v1/admin/erasures/{id}",
        "get /v1/admin/exports/{id}",
        "get /v1/admin/holds",
        "get /v1/admin/holds/{id}",
        "get /v1/admin/invites",
        "get /v1/admin/services",
        "get /v1/admin/services/{id}/keys",
        "get /v1/admin/webhooks",
        "get /v1/admin/webhooks/{id}",
        "get /v1/admin/webhooks/{id}/deliveries",
        "get /v1/conversations/{id}/messages/{message_id}/versions",
        "get /v1/conversations/{id}/settings",
        "get /v1/events",
        "get /v1/exports/{id}",
        "get /v1/info",
        "get /v1/logins",
        "get /v1/me",
        "get /v1/me/erasure",
        "get /v1/me/exports",
        "get /v1/me/exports/{id}",
        // A host application has the names of its users in its own table.
        "get /v1/provision/conversations/{external_id}",
        "get /v1/provision/users/{external_id}",
        "get /v1/users",
        "get /v1/users/{id}",
    ];
    assert_eq!(without, expected);
}

#[test]
fn every_body_has_an_example() {
    let document = document();
    let has_example = |schema: &Value| {
        let name = schema["$ref"].as_str().expect("a named schema").replace('#', "");
        document.pointer(&name).expect("schema")["examples"][0].is_object()
    };
    for (name, operation) in operations(&document) {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert!(body.is_null() || has_example(body), "{name}: its body has no example");
        for status in ["200", "201"] {
            let answer = &operation["responses"][status]["content"]["application/json"]["schema"];
            assert!(answer.is_null() || has_example(answer), "{name}: its {status} has no example");
        }
    }
}

#[tokio::test]
async fn the_gateway_lies_beside_the_operations() {
    let app = || {
        let gateway = get(make_sync(|_| StatusCode::SWITCHING_PROTOCOLS));
        let app: Route = routes(Things, ());
        edge(app.at("/v1/ws", gateway), RateLimits::new(Rates::default(), &[0; 32]).into(), calm())
    };
    let status = async |path: &str| {
        let answer = poem::Endpoint::get_response(&app(), Request::builder().uri_str(path).finish()).await;
        answer.status().as_u16()
    };
    assert_eq!(status("/v1/ws").await, 101);
    assert_eq!(status("/v1/wsx").await, 404);
    assert_eq!(status("/v1/ws/x").await, 404);
    assert_eq!(status("/v1/things").await, 401);
    assert_eq!(status("/openapi.json").await, 200);
}
