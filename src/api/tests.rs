//! Tests `http` with a small sample API and the requests of a client.

use poem::{Body as Bytes, Endpoint, Request, Response, http::Method};
use serde_json::{Value, json};

use crate::{
    api::{routes::routes, *},
    domain::UserId,
    limits::{RateLimits, Rates},
    overload::Overload,
};
use sample::{ANA, More, Things};

mod operations;
mod overload;
mod sample;

struct Answer {
    status: u16,
    response: Response,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.response.header(name).unwrap_or_default()
    }

    /// The code of the problem; or, if a field is invalid, the pointer and the code of the field.
    fn code(&self) -> String {
        assert_eq!(self.response.content_type(), Some("application/problem+json"));
        assert_eq!(self.body["status"], self.status);
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        assert_eq!(self.body["type"], format!("/problems/{}", self.body["code"].as_str().expect("code")));
        match self.body["errors"].get(0) {
            Some(error) => format!(
                "{} {}",
                error["pointer"].as_str().expect("pointer"),
                error["code"].as_str().expect("code")
            ),
            None => self.body["code"].as_str().expect("code").to_owned(),
        }
    }
}

/// The `Overload` of an idle node.
fn calm() -> Overload {
    Overload::new(std::time::Duration::from_secs(1))
}

async fn send(request: Request) -> Answer {
    let limits = RateLimits::new(Rates::default(), &[0; 32]).into();
    let mut response = edge(routes((Things, More), ()), limits, calm()).get_response(request).await;
    let bytes = response.take_body().into_bytes().await.expect("body");
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    Answer { status: response.status().as_u16(), response, body }
}

fn request(method: &str, path: &str) -> poem::RequestBuilder {
    let method = Method::from_bytes(method.as_bytes()).expect("method");
    Request::builder().method(method).uri_str(path).header("authorization", format!("Bearer {ANA}"))
}

async fn get(path: &str) -> Answer {
    send(request("GET", path).finish()).await
}

async fn post(body: impl Into<Bytes>) -> Answer {
    send(request("POST", "/v1/things").content_type("application/json").body(body.into())).await
}

#[tokio::test]
async fn a_reply_is_written_as_its_type() {
    let answer = get("/v1/things?limit=1").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, json!({"items": [{"id": ANA, "title": "Supper", "position": 7}]}));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let answer = send(request("HEAD", "/v1/things").finish()).await;
    assert_eq!((answer.status, answer.body), (200, Value::Null));
}

#[tokio::test]
async fn something_new_is_201_with_its_place_and_something_old_200() {
    let draft = r#"{"title":"Lunch"}"#;
    let request = request("POST", "/v1/things").content_type("application/json");
    let answer = send(request.header("idempotency-key", "a-good-key").body(draft)).await;
    assert_eq!((answer.status, answer.header("location")), (201, &*format!("/v1/things/{ANA}")));
    assert_eq!(answer.body["key"], "a-good-key");
    assert_eq!(post(r#"{"title":"Lunch","role":"owner"}"#).await.status, 200);
    let answer = post(r#"{"title":"Lunch","role":"member"}"#).await;
    assert_eq!((answer.status, answer.code()), (409, "last_owner".into()));
    let answer = send(self::request("DELETE", &format!("/v1/things/{ANA}")).finish()).await;
    assert_eq!((answer.status, answer.body), (204, Value::Null));
}

#[tokio::test]
async fn an_id_that_is_none_is_not_found() {
    assert_eq!(get(&format!("/v1/things/{ANA}")).await.status, 200);
    assert_eq!(get(&format!("/v1/things/{}", ANA.to_uppercase())).await.status, 200);
    let long = "x".repeat(5000);
    for id in [
        "1",
        "abc",
        "00000000-0000-0000-0000-000000000000",
        "%7B01930f3c-5a7b-7c3d-8e4f-0123456789ab%7D",
        "01930f3c-5a7b-7c3d-8e4f-0123456789abc",
        "%2e%2e",
        "*",
        "%3E",
        "a.b",
        "$JS",
        "a%00",
        "a%0d%0a",
        "%D9%A1",
        "%ff",
        "%",
        "ffffffff-ffff-7fff-cfff-ffffffffffff",
        "",
        "a/b",
        &long,
    ] {
        let answer = get(&format!("/v1/things/{id}")).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found".into()), "{id}");
    }
    let late = get("/v1/things/ffffffff-ffff-7fff-8fff-ffffffffffff").await;
    assert_eq!((late.status, late.code()), (400, "/id invalid".into()), "the time of no id");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    for path in
        ["/", "/v1", "/v1/", "/v2/things", "/v1/nothing", "/metrics", "/debug", "/.git/config", "/docs/x.js"]
    {
        let answer = get(path).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found".into()), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_query_is_named() {
    for (query, code) in [
        ("limit=0", "/limit invalid"),
        ("limit=201", "/limit invalid"),
        ("limit=", "/limit invalid"),
        ("limit=1&limit=1", "/limit repeated_parameter"),
        ("offset=1", "/offset unknown_parameter"),
        ("limit[]=1", "/limit[] unknown_parameter"),
        ("LIMIT=1", "/LIMIT unknown_parameter"),
        ("min_position=-1", "/min_position invalid"),
        ("min_position=1.0", "/min_position invalid"),
        ("min_position=18446744073709551616", "/min_position invalid"),
        ("min_position=%ff", "/min_position invalid"),
        ("=", "/ unknown_parameter"),
    ] {
        let answer = get(&format!("/v1/things?{query}")).await;
        assert_eq!((answer.status, answer.code()), (400, code.into()), "{query}");
        assert_eq!(answer.body["code"], "invalid_parameter");
    }
    let answer = get("/v1/things?min_position=-1").await;
    let expected = "must be a whole number up to 9007199254740991";
    assert_eq!(answer.body["errors"][0]["detail"], expected);
    assert_eq!(get(&format!("/v1/things/{ANA}?limit=1")).await.code(), "/limit unknown_parameter");
}

#[tokio::test]
async fn a_wrong_header_is_named() {
    let with = async |keys: &[&[u8]]| {
        let request = request("POST", "/v1/things").content_type("application/json");
        let request = keys.iter().fold(request, |request, key| request.header("idempotency-key", *key));
        let answer = send(request.body(r#"{"title":"Lunch"}"#)).await;
        (answer.status, answer.code())
    };
    for wrong in [&b"no"[..], b"", "schlüssel".as_bytes(), b"a-good-key\xff"] {
        assert_eq!(with(&[wrong]).await, (400, "/Idempotency-Key invalid".into()));
    }
    let twice = with(&[b"a-good-key", b"a-good-key"]).await;
    assert_eq!(twice, (400, "/Idempotency-Key repeated_parameter".into()));
}

#[tokio::test]
async fn a_wrong_body_is_pointed_at() {
    let members = format!(r#"{{"title":"Lunch","members":["{ANA}","{ANA}","{ANA}",7]}}"#);
    for (body, code) in [
        ("", " empty"),
        ("null", " wrong_type"),
        ("[]", " wrong_type"),
        ("\"x\"", " wrong_type"),
        ("1", " wrong_type"),
        ("{", " invalid_json"),
        ("{}", "/title missing"),
        (r#"{"title":"a\u0000"}"#, "/title forbidden_character"),
        (r#"{"title":"\ud800"}"#, "/title forbidden_character"),
        (r#"{"title":"Lunch","admin":true}"#, "/admin unknown_field"),
        (r#"{"title":"Lunch","role":"god"}"#, "/role unknown_value"),
        (r#"{"title":"Lunch","text":null}"#, "/text wrong_type"),
        (&members, "/members/3 wrong_type"),
    ] {
        let answer = post(body.to_owned()).await;
        assert_eq!((answer.status, answer.code()), (400, code.into()), "{body}");
        assert_eq!(answer.body["code"], "invalid_body");
    }
}

#[tokio::test]
async fn a_body_of_several_kinds_says_which() {
    for (body, status, code) in [
        (format!(r#"{{"kind":"direct","user_id":"{ANA}"}}"#), 200, ""),
        (r#"{"kind":"group","title":"Supper"}"#.into(), 200, ""),
        (r#"{"kind":"room","title":"Supper"}"#.into(), 400, "/kind unknown_value"),
        (r#"{"title":"Supper"}"#.into(), 400, "/kind missing"),
        (r#"{"kind":"group"}"#.into(), 400, "/title missing"),
        (r#"{"kind":"group","title":""}"#.into(), 400, " empty_text"),
        (format!(r#"{{"kind":"group","title":"Supper","user_id":"{ANA}"}}"#), 400, "/user_id unknown_field"),
    ] {
        let request = request("POST", "/v1/starts").content_type("application/json");
        let answer = send(request.body(body.clone())).await;
        assert_eq!(answer.status, status, "{body}");
        if status != 200 {
            assert_eq!(answer.code(), code, "{body}");
        }
    }
}

#[tokio::test]
async fn a_body_is_json() {
    for kind in ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""] {
        let request = request("POST", "/v1/things").content_type(kind);
        assert_eq!(send(request.body("{}")).await.status, 415, "{kind}");
    }
    assert_eq!(send(request("POST", "/v1/things").body("{}")).await.code(), "unsupported_media_type");
    let zipped =
        request("POST", "/v1/things").content_type("application/json").header("content-encoding", "gzip");
    let plain = request("POST", "/v1/things").content_type("application/json");
    let plain = plain.header("content-encoding", "Identity").body(r#"{"title":"Lunch"}"#);
    assert_eq!(send(plain).await.status, 201, "it says that the body is what it is");
    let answer = send(zipped.body("{}")).await;
    assert_eq!(
        (answer.code(), answer.header("accept-encoding")),
        ("unsupported_encoding".into(), "identity")
    );
}

#[tokio::test]
async fn a_body_of_many_keys_is_refused_at_the_first() {
    let keys: Vec<_> = (0..6000).map(|n| format!("\"{n}\":1")).collect();
    assert_eq!(post(format!("{{{}}}", keys.join(","))).await.code(), "/0 unknown_field");
}

#[tokio::test]
async fn nobody_is_sent_to_the_login() {
    let nobody = |path| Request::builder().uri_str(path).finish();
    let answer = send(nobody("/v1/things")).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(answer.code(), "missing_token");
    let stranger = Request::builder().uri_str("/v1/things").header("authorization", "Bearer nobody").finish();
    let answer = send(stranger).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(answer.code(), "invalid_token");
    let basic = Request::builder().uri_str("/v1/things").header("authorization", "Basic YTpi").finish();
    assert_eq!(send(basic).await.code(), "missing_token");
}

#[tokio::test]
async fn another_method_is_told_which_there_are() {
    for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"] {
        let answer = send(request(method, "/v1/things").finish()).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD, POST"), "{method}");
        assert_eq!(answer.code(), "method_not_allowed");
    }
    let answer = send(request("POST", &format!("/v1/things/{ANA}")).finish()).await;
    assert_eq!(answer.header("allow"), "DELETE, GET, HEAD", "two groups share this path");
    for method in ["FOO", "get"] {
        let answer = send(request(method, "/v1/things").finish()).await;
        assert_eq!((answer.status, answer.code()), (501, "not_implemented".into()));
    }
}

#[tokio::test]
async fn not_now_says_when() {
    let answer = get("/v1/things?min_position=101").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "2"));
    assert_eq!(answer.code(), "not_yet");
}

#[tokio::test]
async fn a_panic_is_a_problem_without_its_reason() {
    let answer = send(request("POST", "/v1/broken").finish()).await;
    assert_eq!((answer.status, answer.code()), (500, "internal".into()));
    assert!(!answer.body.to_string().contains("as asked"));
}

#[tokio::test]
async fn a_request_keeps_a_plain_name_and_gets_one_otherwise() {
    let named = async |name: &str| {
        let answer = send(request("GET", "/v1/nothing").header("x-request-id", name).finish()).await;
        assert_eq!(answer.code(), "not_found");
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(named("my-request_1").await, "my-request_1");
    for bad in ["short", "with space", "a;b;c;d;e", &"x".repeat(65)] {
        let id = named(bad).await;
        assert!(id.parse::<UserId>().is_ok(), "{bad} became {id}");
    }
}

#[tokio::test]
async fn the_document_says_what_the_operations_do() {
    let document = get("/openapi.json").await;
    assert_eq!(document.header("content-type"), "application/json");
    let document = document.body;
    assert_eq!(document["openapi"], "3.1.0");
    let list = &document["paths"]["/v1/things"]["get"];
    let statuses = |operation: &Value| -> Vec<String> {
        operation["responses"].as_object().expect("responses").keys().cloned().collect()
    };
    assert_eq!(statuses(list), ["200", "400", "401", "403", "429", "503", "default"]);
    let make = &document["paths"]["/v1/things"]["post"];
    let all = ["200", "201", "400", "401", "403", "404", "409", "413", "415", "429", "503", "default"];
    assert_eq!(statuses(make), all);
    assert!(document["paths"]["/v1/things/{id}"]["delete"].is_object(), "of the other group");
    assert_eq!(list["security"], json!([{"bearer": []}]));
    let problem = "#/components/schemas/Problem";
    assert_eq!(list["responses"]["401"]["content"]["application/problem+json"]["schema"]["$ref"], problem);
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["ThingPage"]["properties"]["items"]["items"]["$ref"], "#/components/schemas/Thing");
    assert_eq!(schemas["Thing"]["required"], json!(["id", "title", "position"]));
    assert_eq!(schemas["Role"]["enum"], json!(["owner", "member"]));
    assert_eq!(schemas["Role"]["description"], "What a member may do");
    assert_eq!(schemas["Draft"]["required"], json!(["title"]));
    assert_eq!(schemas["Draft"]["examples"], json!([{"title": "Supper", "members": [], "role": "owner"}]));
    let text = http::document::text::<(Things, More)>();
    assert_eq!(text, http::document::text::<(Things, More)>());
    assert!(text.ends_with("}\n"));
}
