//! The same matrix over NATS: a command on behalf of a user gets the same answer as the user's own request.

use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value, json};

use super::{AT_ONCE, Request, about, cells, difference, matrix, operations, scene::Scene, stage};
use crate::world::{ALL_SCOPES, Bot, NatsReply, key};

/// The command of each operation that has one.
const COMMANDS: &[(&str, &str)] = &[
    ("add_member", "add_member"),
    ("add_reaction", "react"),
    ("advance_receipt", "advance_receipt"),
    ("change_role", "change_role"),
    ("delete_message", "delete"),
    ("edit_message", "edit"),
    ("get_conversation", "get_conversation"),
    ("get_message", "get_message"),
    ("pin_message", "pin"),
    ("remove_member", "remove_member"),
    ("remove_reaction", "unreact"),
    ("send_message", "send"),
    ("show_typing", "typing"),
    ("start_conversation", "start_conversation"),
    ("unpin_message", "unpin"),
    ("update_conversation", "update_conversation"),
];
/// The columns of people for whom a program can act.
const COLUMNS: [&str; 6] = ["stranger", "member", "ex_member", "admin", "owner", "blocked"];

#[tokio::test]
async fn every_command_is_answered_as_its_operation() {
    let (world, cast) = stage().await;
    let (matrix, operations) = (matrix(), operations());
    let bot = Bot::of(&world, cast.operator.makes("robot", ALL_SCOPES).await).await;
    let standing = cast.stands(COLUMNS.into_iter()).await;
    let (matrix, operations, cast, standing, bot) = (&matrix, &operations, &cast, &standing, &bot);
    let wanted = cells(matrix, &matrix.operations).into_iter().filter_map(|(row, column, expected)| {
        let (_, command) = COMMANDS.iter().find(|(operation, _)| *operation == about(row))?;
        COLUMNS.contains(&column).then_some((row, *command, column, expected))
    });
    let asked = wanted.map(|(row, command, column, expected)| async move {
        let path = &operations[about(row)].1;
        let on_account = !path.starts_with("/v1/conversations/");
        let changes = !command.starts_with("get_") && expected.starts_with('2');
        let scene = &*standing.scene(cast, column, on_account, changes).await;
        let default = Request::default();
        let reply = asks(bot, scene, command, path, matrix.requests.get(row).unwrap_or(&default)).await;
        let word = match reply.status {
            ok @ 200..300 => ok.to_string(),
            _ => reply.body["code"].as_str().expect("a code").to_owned(),
        };
        difference(row, column, expected, &word)
    });
    let different: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    assert!(different.len() > 100, "{} cells", different.len());
    let different: Vec<String> = different.into_iter().flatten().collect();
    assert!(different.is_empty(), "{different:#?}");
    world.finish().await;
}

async fn asks(bot: &Bot, scene: &Scene, command: &str, path: &str, with: &Request) -> NatsReply {
    let part = |given: &Option<String>, or: &str| scene.template.fill(given.as_deref().unwrap_or(or));
    let body = with
        .body
        .as_deref()
        .map_or(json!({}), |body| serde_json::from_str(&scene.template.fill(body)).expect("JSON"));
    let mut fields: Map<String, Value> = body.as_object().expect("an object").clone();
    let mut give = |place: &str, name: &str, value: String| {
        if path.contains(place) {
            fields.insert(name.to_owned(), value.into());
        }
    };
    give("/conversations/{id}", "conversation_id", part(&with.id, "${conversation}"));
    give("{message_id}", "message_id", part(&with.message_id, "${message}"));
    give("{user_id}", "user_id", part(&with.user_id, "${guest}"));
    give("{emoji}", "emoji", "👍".to_owned());
    if !command.starts_with("get_") {
        fields.insert("client_id".to_owned(), key().into());
    }
    let headers = [("Verbatim-On-Behalf-Of", &*scene.caller.id)];
    bot.says(command, &headers, Value::from(fields).to_string()).await
}
