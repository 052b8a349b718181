//! Proofs of an identity: passwords, access tokens, refresh tokens and keys.

pub mod keys;
pub mod names;
pub mod password;
pub mod password_hash;
pub mod refresh_token;
pub mod tokens;
pub mod username;

pub use self::{
    keys::{BadKey, Keys},
    password::{BadPassword, Password},
    password_hash::{BadCost, Busy, Cost, Hasher, PasswordCheck, PasswordHash, Turn},
    tokens::{ACCESS_LIFE, BadToken, Identity, LEEWAY, Tokens},
};
pub use self::{
    names::{BadName, DeviceName, DisplayName},
    username::{BadUsername, Username},
};
