//! Who **exists**: accounts, logins, settings and blocks in the Postgres schema `auth`.

pub mod blocks;
pub mod budgets;
pub mod failures;
pub mod installation;
pub mod invitations;
pub mod logins;
pub mod nodes;
pub mod people;
pub mod refresh;
pub mod settings;
pub mod shared_key;

pub use self::{
    blocks::{Block, BlockError, MAX_BLOCKS, block, blocks, unblock},
    budgets::Budget,
    failures::FailureKeys,
    installation::{cursor_key, epoch_of_log, keep_epoch, take_turn},
    invitations::{Invitation, InviteError},
    logins::{
        Login, MAX_LOGINS, NewLogin, Revocation, begin, list, replace_password, revoke, revoke_begun_before,
        revoked_since,
    },
    nodes::{OtherNodes, is_there, note_node, other_nodes},
    people::{Account, RegisterError, by_username, existing, find, find_many, register, rename, saw},
    refresh::Family,
    settings::{
        ConversationSettings, MAX_ARCHIVED, Muted, SettingChanges, SettingError, archived, settings, settle,
        unarchive,
    },
    shared_key::{SharedKeyError, shared_key},
};
