//! Stores who **exists**: accounts, logins, settings and blocks in the Postgres schema `auth`.

mod acted_for;
mod activity;
pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod blocks;
pub(crate) mod budgets;
pub(crate) mod consumers;
mod erased;
pub(crate) mod erasure_archives;
mod erasure_request;
mod erasure_rows;
mod erasure_scope;
mod erasure_wait;
pub(crate) mod erasures;
pub(crate) mod expiring;
pub(crate) mod exports;
pub(crate) mod external;
pub(crate) mod external_logins;
pub(crate) mod external_logouts;
pub(crate) mod failures;
pub(crate) mod forgetting;
pub(crate) mod holds;
mod host_logins;
mod installation;
pub(crate) mod invitations;
pub(crate) mod invite_codes;
pub(crate) mod kept;
pub(crate) mod key_use;
mod known_issuers;
mod logins;
mod nodes;
mod outbox;
mod people;
pub(crate) mod programs;
mod provisioned;
pub(crate) mod recovery;
pub(crate) mod refresh;
pub(crate) mod restored_erasures;
mod revocations;
mod settings;
mod shared_key;

pub(crate) use self::acted_for::acted_for;
pub(crate) use self::activity::{
    AccountEnds, WhichAccount, deactivate, ends_of, reactivate, suspended_since,
};
pub(crate) use self::api_keys::ListedKey;
pub(crate) use self::audit::{By, Stamp};
pub(crate) use self::blocks::{Block, BlockError, block, blocks, unblock};
pub(crate) use self::budgets::Budget;
pub(crate) use self::erased::{account_is_emptied, cancel_erasure, erasable, erase, is_fresh, not_erased_of};
pub(crate) use self::erasure_scope::ErasureScope;
pub(crate) use self::erasure_wait::oldest_erasure;
pub(crate) use self::failures::FailureKeys;
pub(crate) use self::host_logins::{HostLoginError, begin_for_host};
pub(crate) use self::installation::{
    are_of_a_restore, cursor_key, epoch_of_log, epochs_of_log, former_epochs, has_audit, keep_audit,
    keep_epoch, mark_restored, take_turn,
};
pub(crate) use self::invitations::{Invitation, InviteError};
pub(crate) use self::invite_codes::InviteCode;
pub(crate) use self::known_issuers::note_issuers;
pub(crate) use self::logins::{Begun, Login, MAX_LOGINS, NewLogin, begin, list, replace_password};
pub(crate) use self::nodes::{NodeNote, OtherNodes, is_there, note_node, other_nodes};
pub(crate) use self::outbox::{RelayTurn, Waiting, oldest_waiting};
pub(crate) use self::people::{
    Account, AccountChanges, RegisterError, by_username, change, existing, find, find_many, is_taken,
    name_and_password, register, saw,
};
pub(crate) use self::programs::ServiceAccount;
pub(crate) use self::provisioned::{
    HostUser, ProvisionError, ProvisionedUser, TENANT, change_provisioned, external_ids, make_provisioned,
    provisioned, provisioned_one,
};
pub(crate) use self::refresh::Family;
pub(crate) use self::revocations::{
    Revocation, ended_lately, log_out, revoke, revoke_begun_before, revoked_since,
};
pub(crate) use self::settings::{
    ConversationSettings, Muted, SettingChanges, SettingError, all_settings, archived, settings, settle,
    unarchive,
};
pub use self::shared_key::shared_key;
pub(crate) use self::shared_key::{SharedKeyError, note_published, publish_key, replace_keys, shared_keys};
