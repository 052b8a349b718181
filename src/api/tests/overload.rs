//! Tests of the requests that an overloaded node refuses at the REST edge.

use std::{collections::BTreeMap, time::Duration};

use poem::{Endpoint as _, Request, Route, endpoint::make_sync, http::Method};

use crate::{
    api::{
        http::work,
        tests::{
            edge,
            operations::{document, operations},
        },
    },
    limits::{RateLimits, Rates},
    overload::{Overload, Waits, WorkKind},
};

/// Every operation, and its kind of work.
const OPERATIONS: &[(&str, Option<WorkKind>)] = &[
    ("post /v1/accounts", Some(WorkKind::Connect)),
    ("post /v1/admin/services", None),
    ("get /v1/admin/services", None),
    ("post /v1/admin/services/{id}/keys", None),
    ("get /v1/admin/services/{id}/keys", None),
    ("post /v1/admin/services/{id}/keys/{key_id}/rotate", None),
    ("delete /v1/admin/services/{id}/keys/{key_id}", None),
    ("post /v1/admin/consumers", None),
    ("get /v1/admin/consumers", None),
    ("get /v1/admin/consumers/{name}", None),
    ("delete /v1/admin/consumers/{name}", None),
    ("post /v1/admin/consumers/{name}/rotate", None),
    ("post /v1/admin/consumers/{name}/replay", None),
    ("get /v1/admin/consumers/{name}/parked", None),
    ("post /v1/admin/consumers/sweep", None),
    ("post /v1/admin/erasures", None),
    ("get /v1/admin/erasures/{id}", None),
    ("post /v1/admin/holds", None),
    ("get /v1/admin/holds", None),
    ("get /v1/admin/holds/{id}", None),
    ("delete /v1/admin/holds/{id}", None),
    ("post /v1/admin/exports", None),
    ("get /v1/admin/exports/{id}", None),
    ("post /v1/admin/webhooks", None),
    ("get /v1/admin/webhooks", None),
    ("get /v1/admin/webhooks/{id}", None),
    ("patch /v1/admin/webhooks/{id}", None),
    ("delete /v1/admin/webhooks/{id}", None),
    ("post /v1/admin/webhooks/{id}/rotate", None),
    ("post /v1/admin/webhooks/{id}/test", None),
    ("post /v1/admin/webhooks/{id}/enable", None),
    ("post /v1/admin/webhooks/{id}/disable", None),
    ("get /v1/admin/webhooks/{id}/deliveries", None),
    ("post /v1/admin/webhooks/{id}/replay", None),
    ("post /v1/logins", Some(WorkKind::Connect)),
    ("post /v1/logins/exchange", Some(WorkKind::Connect)),
    ("get /v1/logins", None),
    ("post /v1/logins/refresh", Some(WorkKind::Connect)),
    ("post /v1/logins/exchange", Some(WorkKind::Connect)),
    ("delete /v1/logins/{id}", None),
    ("delete /v1/logins/current", None),
    ("put /v1/me/password", None),
    ("get /v1/me", None),
    ("patch /v1/me", None),
    ("post /v1/me/erasure", None),
    ("get /v1/me/erasure", None),
    ("delete /v1/me/erasure", None),
    ("post /v1/me/exports", None),
    ("get /v1/me/exports", None),
    ("get /v1/me/exports/{id}", None),
    ("get /v1/exports/{id}", Some(WorkKind::Search)),
    ("get /v1/me/blocks", None),
    ("put /v1/me/blocks/{id}", None),
    ("delete /v1/me/blocks/{id}", None),
    ("get /v1/me/invitations", None),
    ("delete /v1/me/invitations/{id}", None),
    ("post /v1/me/invitations/{id}/accept", Some(WorkKind::Send)),
    ("get /v1/users", Some(WorkKind::History)),
    ("get /v1/users/{id}", Some(WorkKind::History)),
    ("get /v1/users/{id}/presence", Some(WorkKind::History)),
    ("get /v1/conversations/{id}/presence", Some(WorkKind::History)),
    ("post /v1/conversations", Some(WorkKind::Send)),
    ("get /v1/conversations", Some(WorkKind::History)),
    ("get /v1/conversations/{id}", Some(WorkKind::History)),
    ("patch /v1/conversations/{id}", Some(WorkKind::Send)),
    ("get /v1/conversations/{id}/settings", Some(WorkKind::History)),
    ("patch /v1/conversations/{id}/settings", Some(WorkKind::Send)),
    ("get /v1/conversations/{id}/members", Some(WorkKind::History)),
    ("post /v1/conversations/{id}/members", Some(WorkKind::Send)),
    ("patch /v1/conversations/{id}/members/{user_id}", Some(WorkKind::Send)),
    ("delete /v1/conversations/{id}/members/{user_id}", Some(WorkKind::Send)),
    ("post /v1/conversations/{id}/messages", Some(WorkKind::Send)),
    ("get /v1/conversations/{id}/messages", Some(WorkKind::History)),
    ("get /v1/conversations/{id}/messages/{message_id}", Some(WorkKind::History)),
    ("patch /v1/conversations/{id}/messages/{message_id}", Some(WorkKind::Send)),
    ("delete /v1/conversations/{id}/messages/{message_id}", Some(WorkKind::Send)),
    ("get /v1/conversations/{id}/messages/{message_id}/versions", Some(WorkKind::History)),
    ("get /v1/conversations/{id}/messages/{message_id}/reactions", Some(WorkKind::History)),
    ("put /v1/conversations/{id}/messages/{message_id}/reactions/{emoji}", Some(WorkKind::Send)),
    ("delete /v1/conversations/{id}/messages/{message_id}/reactions/{emoji}", Some(WorkKind::Send)),
    ("put /v1/conversations/{id}/messages/{message_id}/pin", Some(WorkKind::Send)),
    ("delete /v1/conversations/{id}/messages/{message_id}/pin", Some(WorkKind::Send)),
    ("get /v1/conversations/{id}/pins", Some(WorkKind::History)),
    ("post /v1/conversations/{id}/typing", Some(WorkKind::Typing)),
    ("put /v1/conversations/{id}/receipt", Some(WorkKind::Receipts)),
    ("get /v1/conversations/{id}/receipts", Some(WorkKind::History)),
    ("get /v1/messages", Some(WorkKind::Search)),
    ("get /v1/events", Some(WorkKind::Resume)),
    ("get /v1/info", None),
    ("post /v1/accounts/recovery", Some(WorkKind::Connect)),
    ("post /v1/admin/users/{id}/deactivate", None),
    ("post /v1/admin/users/{id}/reactivate", None),
    ("post /v1/admin/users/{id}/recovery", None),
    ("post /v1/admin/invites", None),
    ("get /v1/admin/invites", None),
    ("delete /v1/admin/invites/{id}", None),
    ("get /v1/admin/audit", None),
    ("get /v1/admin/conversations/{id}/roster", None),
    ("post /v1/provision/users", Some(WorkKind::Send)),
    ("put /v1/provision/users/{external_id}", Some(WorkKind::Send)),
    ("get /v1/provision/users/{external_id}", Some(WorkKind::History)),
    ("delete /v1/provision/users/{external_id}", None),
    ("post /v1/provision/users/{external_id}/reactivate", Some(WorkKind::Send)),
    ("post /v1/provision/users/{external_id}/tokens", Some(WorkKind::Connect)),
    ("put /v1/provision/conversations/{external_id}", Some(WorkKind::Send)),
    ("get /v1/provision/conversations/{external_id}", Some(WorkKind::History)),
];

#[test]
fn every_operation_has_its_place_in_the_order_of_refusals() {
    let document = document();
    let of = |operation: &str| {
        let (method, path) = operation.split_once(' ').expect("a method and a path");
        work::of(&method.to_uppercase().parse::<Method>().expect("a method"), path, "limit=1")
    };
    let operations = operations(&document);
    let found: BTreeMap<&str, _> = operations.iter().map(|(name, _)| (name.as_str(), of(name))).collect();
    assert_eq!(found, OPERATIONS.iter().copied().collect());
    let of = |query| work::of(&Method::GET, "/v1/conversations/x/members", query);
    assert_eq!(of("limit=1&as_of=7"), Some(WorkKind::Search));
    assert_eq!(of("cursor=as_of"), Some(WorkKind::History));
    assert_eq!(work::of(&Method::GET, "/v1/ws", ""), None, "the gateway asks by itself");
    assert_eq!(work::of(&Method::GET, "/openapi.json", ""), None);
}

#[tokio::test]
async fn what_is_refused_says_when_to_come_back_and_costs_no_look_at_the_token() {
    let overload = Overload::new(Duration::from_millis(10));
    let ask = async |method: &str, path: &str| {
        let inner = Route::new().nest("/", make_sync(|_| "done"));
        let limits = RateLimits::new(Rates::default(), &[0; 32]).into();
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = Request::builder().method(method).uri_str(path).finish();
        let mut answer = edge(inner, limits, overload.clone()).get_response(request).await;
        let body = answer.take_body().into_bytes().await.expect("a body");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        (answer.status().as_u16(), answer.header("retry-after").map(str::to_owned), body)
    };
    let all = [
        ("GET", "/v1/messages"),
        ("GET", "/v1/users"),
        ("POST", "/v1/logins"),
        ("POST", "/v1/conversations"),
    ];
    for (level, refused) in [(3, 0), (4, 1), (5, 2), (6, 2), (7, 3), (8, 4)] {
        while overload.level().number() < level {
            overload.look(Waits { processor: Some(Duration::from_secs(60)), ..Waits::default() });
        }
        for (index, (method, path)) in all.into_iter().enumerate() {
            let (status, again, body) = ask(method, path).await;
            if index >= refused {
                assert_eq!(status, 200, "{path} at {level}");
                continue;
            }
            assert_eq!((status, again.as_deref()), (503, Some("2")), "{path} at {level}");
            assert_eq!(body["code"], "temporary_reduced_capacity");
            assert_eq!(
                body["type"],
                "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
            );
        }
    }
    assert_eq!(ask("GET", "/v1/info").await.0, 200);
    assert_eq!(ask("DELETE", "/v1/logins/current").await.0, 200);
}
