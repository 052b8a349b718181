//! **Access**: registering, finding users, logging in, blocking, and ending access on this node and on all others.
//!
//! Each use case here combines the stored rows of [`accounts`](crate::accounts) with the proofs of
//! [`credentials`](crate::credentials).

mod accounts;
mod acting_for;
mod activity;
mod api_keys;
mod attempts;
mod bearer;
mod blocks;
mod confirming;
mod error;
mod exchange;
mod external;
mod grant;
mod host_conversations;
mod host_logins;
mod invitations;
mod invites;
mod logins;
mod nats_names;
mod needs;
mod newcomers;
mod not_authenticated;
mod passwords;
mod people;
mod programs;
mod provision;
mod recovery;
mod refresh;
mod revoking;

pub(crate) use acting_for::{ActedFor, NotAUser, NotActing, ON_BEHALF_OF};
pub use bearer::Bearers;
pub(crate) use bearer::Vouched;
pub use error::AccessError;
pub use exchange::Exchange;
pub use external::External;
pub use grant::Grant;
pub use host_conversations::{HostConversationFound, HostConversationWanted};
pub use host_logins::HostLogin;
pub use logins::Attempt;
pub(crate) use nats_names::{bind_name, unbind_name};
pub use needs::Access;
pub(crate) use needs::PROVISIONING;
pub use not_authenticated::NotAuthenticated;
pub(crate) use programs::{
    GrantedKey, MAX_OVERLAP, NewService, OVERLAP, ServiceError, WantedKey, add_key, add_service, bootstrap,
    keys, revoke_key, rotate_key, services,
};
pub use revoking::Revoking;

pub(crate) use invites::{
    INVITE_DEFAULT, INVITE_LONGEST, MAX_INVITE_USES, add_invite, list_invites, revoke_invite,
};
pub(crate) use recovery::{RECOVERY_DEFAULT, RECOVERY_LIFE, Recovery, issue_recovery};

pub(crate) use crate::accounts::{
    Account, AccountChanges, By, HostUser, Invitation, InviteCode, ListedKey, Login, MAX_LOGINS,
    ProvisionedUser, ServiceAccount, WhichAccount,
};
