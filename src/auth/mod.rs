//! **Who** is asking: accounts, passwords, tokens and logins; and what an account has settled for itself alone.
//!
//! The one truth outside the log (Postgres schema `auth`), never rebuilt. Nothing here knows HTTP,
//! sockets or NATS: callers bring the time, the ids and the pool, and broadcast what was revoked.
//!
//! A database that does not answer is never mistaken for wrong credentials: it is an error of its
//! own everywhere ([`sqlx::Error`]), and the edge answers 503 to it.

mod accounts;
mod blocked;
mod blocks;
mod installation;
mod keys;
mod logins;
mod names;
mod nodes;
mod password;
mod password_hash;
mod refresh;
mod refresh_token;
mod revoked;
mod settings;
mod shared_key;
mod tokens;
mod username;

pub use accounts::{Account, RegisterError, by_username, existing, find, find_many, register, rename, saw};
pub use blocked::{Blocked, Blocklist, contains as is_blocked};
pub use blocks::{Block, BlockError, MAX_BLOCKS, block, blocks, unblock};
pub use installation::{cursor_key, epoch_of_log, keep_epoch, take_turn};
pub use keys::{BadKey, Keys};
pub use logins::{
    Attempt, ChangeError, LogInError, LoggedIn, Login, MAX_LOGINS, Revocation, change_password, list, log_in,
    revoke, revoke_all_but, revoke_begun_before,
};
pub use names::{BadName, DeviceName, DisplayName};
pub use nodes::{OtherNodes, is_there, note_node, other_nodes};
pub use password::{BadPassword, Password};
pub use password_hash::{BadCost, Busy, Cost, Hasher, PasswordHash, Verdict};
pub use refresh::{Grant, RefreshError, refresh};
pub use revoked::Revoked;
pub use settings::{
    ConversationSettings, MAX_ARCHIVED, Muted, SettingChanges, SettingError, archived, settings, settle,
};
pub use shared_key::{SharedKeyError, shared_key};
pub use tokens::{ACCESS_LIFE, BadToken, Caller, LEEWAY, Tokens};
pub use username::{BadUsername, Username};
