//! Bytes sent to the HTTP listener.

use serde::Deserialize;

use super::{
    answer::{Expected, Heard, hears, judge},
    catalogue::{Verdict, holds, same},
    stage::Stage,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bytes {
    send: String,
    status: u16,
    code: Option<String>,
    /// Whether the connection stays open for more requests, because the end of this one is certain.
    #[serde(default)]
    stays: bool,
}

async fn tries(stage: &Stage, Bytes { send, status, code, stays }: &Bytes) -> Verdict {
    let Heard { status: found, body, ends, .. } = hears(stage, &stage.template().fill_bytes(send)).await?;
    judge(found, &body, &Expected { status: *status, code: code.as_deref(), ..Expected::default() })?;
    same("whether the connection stays", !ends, *stays)
}

#[tokio::test]
async fn requests_that_are_not_http_are_refused_and_leave_nothing() {
    holds(Stage::is_set().await, include_str!("../../bad_input/http.toml"), tries).await;
}
