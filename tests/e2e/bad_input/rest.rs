//! Wrong requests in valid HTTP.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    answer::{Expected, judge},
    catalogue::{Verdict, holds},
    stage::Stage,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub ask: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    /// `ana`, `program` or `nobody`.
    #[serde(rename = "as")]
    by: Option<String>,
    status: u16,
    code: Option<String>,
    pointer: Option<String>,
    says: Option<String>,
}

/// Tries a request from a logged-in person, from a program, or without a token.
pub async fn tries(stage: &Stage, with: &Request, by: &str) -> Verdict {
    let template = stage.template();
    let (method, path) = with.ask.split_once(' ').ok_or("a request has a method and a path")?;
    let url = format!("http://{}{}", stage.ana.address, template.fill(path));
    let mut request = stage.http.request(method.parse().map_err(|_| "no method")?, url);
    match with.by.as_deref().unwrap_or(by) {
        "ana" => request = request.bearer_auth(&stage.ana.token),
        "program" => request = request.bearer_auth(&stage.program.person.token),
        _ => {}
    }
    for (name, value) in &with.headers {
        request = request.header(name, template.fill(value));
    }
    if let Some(body) = &with.body {
        if !with.headers.contains_key("content-type") {
            request = request.header("content-type", "application/json");
        }
        request = request.body(template.fill(body));
    }
    let answer = request.send().await.map_err(|e| format!("no answer: {e}"))?;
    let (status, body) = (answer.status().as_u16(), answer.text().await.map_err(|e| e.to_string())?);
    let (code, pointer, says) = (with.code.as_deref(), with.pointer.as_deref(), with.says.as_deref());
    judge(status, &body, &Expected { status: with.status, code, pointer, says })
}

#[tokio::test]
async fn accounts_and_logins_that_are_wrong_are_refused_and_leave_nothing() {
    let tries = async |stage: &Stage, request: &Request| tries(stage, request, "nobody").await;
    holds(Stage::is_set().await, include_str!("../../bad_input/accounts.toml"), tries).await;
}

#[tokio::test]
async fn requests_of_programs_that_are_wrong_are_refused_and_leave_nothing() {
    let tries = async |stage: &Stage, request: &Request| tries(stage, request, "program").await;
    holds(Stage::is_set().await, include_str!("../../bad_input/programs.toml"), tries).await;
}

#[tokio::test]
async fn paths_queries_and_bodies_that_are_wrong_are_refused_and_leave_nothing() {
    let tries = async |stage: &Stage, request: &Request| tries(stage, request, "ana").await;
    holds(Stage::is_set().await, include_str!("../../bad_input/requests.toml"), tries).await;
}
