//! The scope that each operation needs.

use crate::{
    credentials::{Identity, Proof, Scope, Scopes},
    problems::Problem,
};

/// The requirement of an operation on its caller. It is checked before any rule of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Need {
    /// Any caller may call the operation.
    Nothing,
    /// The caller needs any scope of operators, `admin:…`.
    AnyAdmin,
    /// The caller needs a scope.
    Scope(Scope),
    /// The caller needs a login: API keys are refused.
    Login,
    /// The caller needs a login, which may have ended, or whose access token may have expired.
    AnyLogin,
    /// The caller needs a scope and must be a program that acts in its own name. People have some of these scopes too,
    /// but none of them may see or change the users of a host application.
    OfProgram(Scope),
}

/// The need of each operation that has a caller.
const NEEDS: &[(&str, Need)] = {
    use Scope::*;
    &[
        ("list_audit_events", Need::AnyAdmin),
        ("get_roster", Need::Scope(AdminConsumers)),
        ("add_consumer", Need::Scope(AdminConsumers)),
        ("list_consumers", Need::Scope(AdminConsumers)),
        ("get_consumer", Need::Scope(AdminConsumers)),
        ("remove_consumer", Need::Scope(AdminConsumers)),
        ("rotate_consumer", Need::Scope(AdminConsumers)),
        ("replay_consumer", Need::Scope(AdminConsumers)),
        ("list_parked_events", Need::Scope(AdminConsumers)),
        ("sweep_consumers", Need::Scope(AdminConsumers)),
        ("request_erasure", Need::Scope(AdminErasure)),
        ("get_erasure", Need::Scope(AdminErasure)),
        ("place_hold", Need::Scope(AdminHolds)),
        ("list_holds", Need::Scope(AdminHolds)),
        ("get_hold", Need::Scope(AdminHolds)),
        ("lift_hold", Need::Scope(AdminHolds)),
        ("request_held_export", Need::Scope(AdminExport)),
        ("get_held_export", Need::Scope(AdminExport)),
        ("deactivate_account", Need::Scope(UsersWrite)),
        ("reactivate_account", Need::Scope(UsersWrite)),
        ("issue_recovery", Need::Scope(UsersWrite)),
        ("add_invite", Need::Scope(UsersWrite)),
        ("list_invites", Need::Scope(UsersWrite)),
        ("revoke_invite", Need::Scope(UsersWrite)),
        ("get_me", Need::Nothing),
        ("update_me", Need::Scope(ConversationsWrite)),
        ("change_password", Need::Login),
        ("list_logins", Need::Login),
        ("log_out", Need::AnyLogin),
        ("revoke_login", Need::Login),
        ("request_own_erasure", Need::Login),
        ("get_own_erasure", Need::Login),
        ("cancel_own_erasure", Need::Login),
        ("request_export", Need::Login),
        ("list_exports", Need::Login),
        ("get_export", Need::Login),
        ("list_blocks", Need::Scope(UsersRead)),
        ("block_user", Need::Scope(ConversationsWrite)),
        ("unblock_user", Need::Scope(ConversationsWrite)),
        ("list_invitations", Need::Scope(ConversationsRead)),
        ("accept_invitation", Need::Scope(ConversationsWrite)),
        ("decline_invitation", Need::Scope(ConversationsWrite)),
        ("find_users", Need::Scope(UsersRead)),
        ("get_user", Need::Scope(UsersRead)),
        ("get_presence", Need::Scope(UsersRead)),
        ("show_typing", Need::Scope(MessagesWrite)),
        ("list_presence", Need::Scope(ConversationsRead)),
        ("search_messages", Need::Scope(ConversationsRead)),
        ("follow_events", Need::Scope(EventsRead)),
        ("list_conversations", Need::Scope(ConversationsRead)),
        ("start_conversation", Need::Scope(ConversationsWrite)),
        ("get_conversation", Need::Scope(ConversationsRead)),
        ("update_conversation", Need::Scope(ConversationsWrite)),
        ("list_members", Need::Scope(ConversationsRead)),
        ("add_member", Need::Scope(ConversationsWrite)),
        ("remove_member", Need::Scope(ConversationsWrite)),
        ("change_role", Need::Scope(ConversationsWrite)),
        ("list_messages", Need::Scope(ConversationsRead)),
        ("send_message", Need::Scope(MessagesWrite)),
        ("get_message", Need::Scope(ConversationsRead)),
        ("edit_message", Need::Scope(MessagesWrite)),
        ("delete_message", Need::Scope(MessagesWrite)),
        ("list_message_versions", Need::Scope(ConversationsRead)),
        ("list_pins", Need::Scope(ConversationsRead)),
        ("pin_message", Need::Scope(MessagesWrite)),
        ("unpin_message", Need::Scope(MessagesWrite)),
        ("list_reactions", Need::Scope(ConversationsRead)),
        ("add_reaction", Need::Scope(MessagesWrite)),
        ("remove_reaction", Need::Scope(MessagesWrite)),
        ("list_receipts", Need::Scope(ConversationsRead)),
        ("advance_receipt", Need::Scope(ReceiptsWrite)),
        ("get_settings", Need::Scope(ConversationsRead)),
        ("update_settings", Need::Scope(ConversationsWrite)),
        ("add_service", Need::Scope(AdminServices)),
        ("list_services", Need::Scope(AdminServices)),
        ("add_key", Need::Scope(AdminServices)),
        ("list_keys", Need::Scope(AdminServices)),
        ("rotate_key", Need::Scope(AdminServices)),
        ("revoke_key", Need::Scope(AdminServices)),
        ("add_webhook", Need::Scope(AdminWebhooks)),
        ("list_webhooks", Need::Scope(AdminWebhooks)),
        ("get_webhook", Need::Scope(AdminWebhooks)),
        ("update_webhook", Need::Scope(AdminWebhooks)),
        ("remove_webhook", Need::Scope(AdminWebhooks)),
        ("rotate_webhook", Need::Scope(AdminWebhooks)),
        ("test_webhook", Need::Scope(AdminWebhooks)),
        ("enable_webhook", Need::Scope(AdminWebhooks)),
        ("disable_webhook", Need::Scope(AdminWebhooks)),
        ("list_webhook_deliveries", Need::Scope(AdminWebhooks)),
        ("replay_webhook", Need::Scope(AdminWebhooks)),
        ("provision_user", Need::OfProgram(UsersWrite)),
        ("provision_users", Need::OfProgram(UsersWrite)),
        ("get_provisioned_user", Need::OfProgram(UsersRead)),
        ("deactivate_user", Need::OfProgram(UsersWrite)),
        ("reactivate_user", Need::OfProgram(UsersWrite)),
        ("make_user_tokens", Need::OfProgram(UsersTokens)),
        ("provision_conversation", Need::OfProgram(ConversationsWrite)),
        ("get_provisioned_conversation", Need::OfProgram(ConversationsRead)),
    ]
};

/// The [`Need`] of the operation with this id; `None` if it is not in the table.
pub(in crate::api) fn need_of(operation: &str) -> Option<Need> {
    NEEDS.iter().find(|(id, _)| *id == operation).map(|(_, need)| *need)
}

impl Need {
    /// Whether a program may call the operation on behalf of a user: the operation needs no more than every
    /// person has.
    pub(in crate::api) fn is_of_a_user(self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Scope(scope) => Scopes::PERSON.contains(scope),
            Self::OfProgram(_) | Self::AnyAdmin | Self::Login | Self::AnyLogin => false,
        }
    }

    /// Refuses a caller that does not meet this need.
    pub(in crate::api) fn of(self, caller: &Identity) -> Result<(), Problem> {
        match self {
            Self::Scope(scope) | Self::OfProgram(scope) if !caller.scopes.contains(scope) => {
                Err(missing(scope.word()))
            }
            Self::OfProgram(scope) if !caller.is_program() => Err(missing(scope.word())),
            Self::AnyAdmin
                if !Scope::ALL.iter().any(|scope| scope.is_admin() && caller.scopes.contains(*scope)) =>
            {
                Err(missing("admin:…"))
            }
            Self::Login | Self::AnyLogin if caller.proof == Proof::Key => Err(Problem::forbidden(
                "forbidden",
                "The operation cannot be called with an API key: log in as the user.",
            )),
            Self::Scope(_)
            | Self::OfProgram(_)
            | Self::AnyAdmin
            | Self::Login
            | Self::AnyLogin
            | Self::Nothing => Ok(()),
        }
    }
}

/// The refusal of a caller without a scope.
pub(in crate::api) fn missing(scope: &str) -> Problem {
    Problem::forbidden(
        "missing_scope",
        format!("The operation needs the scope `{scope}`: use a key that has it."),
    )
}

/// Parses a list of scopes. The error for an unknown word points at the word in the list at `pointer`.
pub(in crate::api) fn of_words(pointer: &str, words: Vec<String>) -> Result<Scopes, Problem> {
    let scope = |(at, word): (usize, &String)| {
        Scope::named(word).ok_or_else(|| {
            let known = Scopes::all().words().join(", ");
            Problem::unusable(
                "unknown_scope",
                format!("{pointer}/{at}"),
                format!("unknown scope: use {known}"),
            )
        })
    };
    words.iter().enumerate().map(scope).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_operation_with_a_caller_is_in_the_table_and_no_other_is() {
        let document: Value = serde_json::from_str(&crate::api::document()).expect("JSON");
        let paths = document["paths"].as_object().expect("paths").values();
        let operations = paths.flat_map(|path| path.as_object().expect("operations").values());
        let with_caller = operations.filter(|operation| operation["security"] != serde_json::json!([]));
        let ids: BTreeSet<&str> =
            with_caller.map(|operation| operation["operationId"].as_str().expect("an id")).collect();
        assert_eq!(NEEDS.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>(), ids);
    }
}
