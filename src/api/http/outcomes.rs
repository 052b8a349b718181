//! What the document says of an operation beyond its types: the codes of its conflicts, and that any operation can fail.

use serde_json::{Value, json};

use crate::problems::{CONTENT_TYPE, Document, EXAMPLE_ID, Problem};

/// Describes the outcomes of an operation.
pub(super) fn describe(operation: &mut Value) {
    let Some(id) = operation["operationId"].as_str().map(str::to_owned) else { return };
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    if let Some(conflict) = responses.get_mut("409") {
        let codes: Vec<String> = conflicts(&id).iter().map(|code| format!("`{code}`")).collect();
        conflict["description"] = match codes.as_slice() {
            [] => "The request conflicts with the current state".into(),
            _ => format!("The request conflicts with the current state: {}", codes.join(", ")).into(),
        };
    }
    let example = serde_json::to_value(Document::of(&Problem::internal(), EXAMPLE_ID)).unwrap_or_default();
    let any = json!({
        "description": "Another error, such as 500 `internal`, or the page of a proxy",
        "content": { CONTENT_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" }, "example": example } },
    });
    responses.insert("default".into(), any);
}

/// The codes with which an operation is refused with 409.
fn conflicts(operation: &str) -> &'static [&'static str] {
    const MISMATCH: &str = "idempotency_mismatch";
    match operation {
        "register" | "provision_user" => &["username_taken"],
        "start_conversation" => &[
            MISMATCH,
            "already_started",
            "too_many_members",
            "too_many_conversations",
            "too_many_invitations",
        ],
        "update_conversation" => &[MISMATCH, "direct_conversation"],
        "add_member" => &[
            MISMATCH,
            "direct_conversation",
            "too_many_members",
            "too_many_conversations",
            "too_many_invitations",
        ],
        "remove_member" | "change_role" => &[MISMATCH, "direct_conversation", "last_owner"],
        "edit_message" => &[MISMATCH, "message_deleted"],
        "pin_message" => &[MISMATCH, "message_deleted", "too_many_pins"],
        "add_reaction" => &[MISMATCH, "message_deleted", "too_many_reactions"],
        "send_message" | "delete_message" | "unpin_message" | "remove_reaction" => &[MISMATCH],
        "update_settings" => &["too_many_archived"],
        "block_user" => &["too_many_blocks"],
        "accept_invitation" => &["too_many_members", "too_many_conversations"],
        "provision_conversation" => &["external_id_taken", "too_many_members", "too_many_conversations"],
        "add_service" => &["conflict", "username_taken"],
        "add_key" | "rotate_key" => &["conflict", "too_many_keys"],
        "add_invite" => &["too_many_invites"],
        "issue_recovery" | "change_password" | "request_own_erasure" => &["no_password"],
        "place_hold" => &["too_many_holds"],
        "add_webhook" => &["conflict", "too_many_webhooks"],
        "update_webhook" | "rotate_webhook" | "test_webhook" => &["conflict"],
        "replay_webhook" => &["conflict", "too_many_replays"],
        "add_consumer" | "rotate_consumer" | "replay_consumer" => &["conflict"],
        _ => &[],
    }
}
