//! Cursors of lists that are forged or changed, or used for another list or by another user.

use serde_json::Value;

use super::{
    catalogue::plays,
    rest::{Request, tries},
    stage::Stage,
};
use crate::world::{Person, template::Template};

/// Lists with more than one page.
const LISTS: [(&str, &str); 5] = [
    ("conversations", "/v1/conversations?limit=1"),
    ("members", "/v1/conversations/${conversation}/members?limit=1"),
    ("messages", "/v1/conversations/${conversation}/messages?limit=1"),
    ("found", "/v1/messages?query=lantern&limit=1"),
    ("logins", "/v1/logins?limit=1"),
];

/// Adds the cursor of each list, changed in each way, under the name of the list.
async fn with_cursors(mut template: Template, of: &Person) -> Template {
    for (list, path) in LISTS {
        let page = of.get(&template.fill(path)).await.expect(200);
        let Value::String(cursor) = &page["next_cursor"] else { panic!("{list} has one page: {page}") };
        let (first, rest) = cursor.split_at(1);
        let (body, last) = cursor.split_at(cursor.len() - 1);
        let other = |sign: &str| if sign == "A" { "Q" } else { "A" };
        template = template
            .with(list, &**cursor)
            .with(format!("{list}_cut"), body)
            .with(format!("{list}_longer"), format!("{cursor}A"))
            .with(format!("{list}_padded"), format!("{cursor}=="))
            .with(format!("{list}_begun_otherwise"), format!("{}{rest}", other(first)))
            .with(format!("{list}_ended_otherwise"), format!("{body}{}", other(last)))
            .with(format!("{list}_in_capitals"), cursor.to_uppercase());
    }
    template
}

#[tokio::test]
async fn cursors_that_are_not_of_their_list_are_refused_and_leave_nothing() {
    let mut stage = Stage::is_set().await;
    let ana = &stage.ana;
    let dinner = ana.starts_group("Dinner", &[]).await;
    ana.says(&dinner, "another lantern").await;
    let last = ana.says(&dinner, "and a lantern more").await["position"].as_u64().expect("position");
    ana.history(&dinner, last).await;
    Person::logs_in(ana.address, &ana.name, &ana.id).await;
    let template = with_cursors(stage.template(), ana).await.with("dinner", &*dinner.id);
    stage.goes_on_with(template).await;
    let tries = async |stage: &Stage, request: &Request| tries(stage, request, "ana").await;
    let different = plays(&mut stage, include_str!("../../bad_input/cursors.toml"), tries).await;
    assert!(different.is_empty(), "{}", different.join("\n"));
    stage.ends().await;
}
