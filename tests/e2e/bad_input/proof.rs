//! The catalogue can fail: exactly the wrong expectations are reported, with the names of their cases.

use super::{
    catalogue::plays,
    frames::{self, Frame},
    process,
    rest::{self, Request},
    stage::Stage,
};
use crate::world::World;

/// The names of the reported cases.
fn names(different: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> =
        different.iter().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_wrong_expectation_of_a_request_is_reported_by_its_name() {
    let table = r#"case = [
        { name = "right", ask = "GET /v1/conversations/1", status = 404, code = "not_found", says = "not_found" },
        { name = "another status", ask = "GET /v1/conversations/1", status = 400 },
        { name = "a status that is no refusal", ask = "GET /v1/conversations/1", status = 200 },
        { name = "another code", ask = "GET /v1/conversations/1", status = 404, code = "no_such_member" },
        { name = "another pointer", ask = "GET /v1/conversations?limit=0", status = 400, pointer = "/cursor" },
        { name = "other words", ask = "GET /v1/conversations?limit=0", status = 400, says = "between 1 and 7" },
        { name = "nothing was done", ask = "GET /v1/me", status = 200, accepted = true },
        { name = "it has left an event", ask = "POST /v1/conversations", body = '{"kind":"group","title":"x"}', status = 201 },
        { name = "it has left a row", ask = "PUT /v1/me/blocks/${ben}", status = 204 },
        { name = "right again", ask = "DELETE /v1/me/blocks/${ben}", status = 204, accepted = true },
    ]"#;
    let mut stage = Stage::is_set().await;
    let tries = async |stage: &Stage, request: &Request| rest::tries(stage, request, "ana").await;
    let different = plays(&mut stage, table, tries).await;
    let expected = [
        "a status that is no refusal",
        "another code",
        "another pointer",
        "another status",
        "it has left a row",
        "it has left an event",
        "nothing was done",
        "other words",
    ];
    assert_eq!(names(&different), expected, "{different:#?}");
    stage.ends().await;
}

#[tokio::test]
async fn a_wrong_expectation_of_a_frame_is_reported_by_its_name() {
    let table = r#"case = [
        { name = "right", frame = '{"op":"sing","id":"1"}', error = "invalid_frame", id = "1" },
        { name = "another error", frame = '{"op":"sing"}', error = "not_found" },
        { name = "another detail", frame = '{"op":"sing"}', error = "invalid_frame", detail = "text: " },
        { name = "another id", frame = '{"op":"sing","id":"1"}', error = "invalid_frame", id = "2" },
        { name = "another close code", frame = '{"op":"ping"}', begins = false, error = "hello_first", close = 4500 },
    ]"#;
    let mut stage = Stage::is_set_with(&frames::SETTINGS).await;
    let tries = async |stage: &Stage, frame: &Frame| frames::tries(stage, frame).await;
    let different = plays(&mut stage, table, tries).await;
    let expected = ["another close code", "another detail", "another error", "another id"];
    assert_eq!(names(&different), expected, "{different:#?}");
    stage.ends().await;
}

#[tokio::test]
async fn a_wrong_expectation_of_a_start_is_reported_by_its_name() {
    let table = r#"case = [
        { name = "right", args = ["sing"], exit = 2, says = ["unrecognized subcommand"] },
        { name = "another exit status", args = ["sing"], exit = 1, says = ["unrecognized subcommand"] },
        { name = "other words", args = ["sing"], exit = 2, says = ["unrecognized subcommand", "dance"] },
    ]"#;
    let world = World::empty(1).await;
    let different = process::plays(&world, table).await;
    assert_eq!(names(&different), ["another exit status", "other words"], "{different:#?}");
    world.finish_without_views().await;
}

#[test]
#[should_panic(expected = "bad: the name stands twice")]
fn two_cases_of_one_name_are_refused() {
    super::catalogue::cases::<toml::Table>(r#"case = [{ name = "bad" }, { name = "bad" }]"#);
}

#[test]
#[should_panic(expected = "unknown field `stauts`")]
fn a_field_that_no_door_knows_is_refused() {
    super::catalogue::cases::<Request>(
        r#"case = [{ name = "bad", ask = "GET /", status = 404, stauts = 404 }]"#,
    );
}
