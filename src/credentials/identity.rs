//! The result of authentication, which all edges use.

use crate::{
    credentials::Scopes,
    domain::{LoginId, Time, UserId},
};

/// The kind of the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A login of a user.
    Login,
    /// The token of an external issuer, used directly.
    Issuer,
    /// An API key of a service account.
    Key,
}

/// The user in whose name a request or a socket acts, and the proof of this identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub user: UserId,
    /// The login of the proof, or the id of the key. The deny set, [`crate::live::Revoked`], contains it once it has
    /// ended.
    pub login: LoginId,
    /// The kind of the proof.
    pub proof: Proof,
    /// The time at which the proof expires, without leeway.
    pub expires_at: Time,
    /// The service account through which the user acts: it acts for the user, or it requested the token of the user.
    pub via: Option<UserId>,
    /// The scopes of the caller.
    pub scopes: Scopes,
}

impl Identity {
    /// Whether the caller is a program that acts in its own name.
    pub fn is_program(&self) -> bool {
        self.via.is_none() && self.proof == Proof::Key
    }

    /// Whether a program acts for the user.
    pub fn is_acted_for(&self) -> bool {
        self.via.is_some() && self.proof == Proof::Key
    }
}
