//! Proofs of an identity: passwords, access tokens, refresh tokens and keys.

mod api_key;
mod avatar;
mod bidi;
mod derived_name;
mod identity;
mod keys;
mod master_key;
mod names;
mod nats_name;
mod networks;
mod one_time;
mod password;
mod password_hash;
mod precis;
pub(crate) mod refresh_token;
mod registration;
mod rotation;
mod scopes;
mod sha256;
mod tokens;
mod username;
mod webhook_secret;

pub(crate) use self::api_key::{KeyId, MadeKey, PresentedKey};
pub use self::avatar::{AvatarUrl, BadAvatarUrl};
pub(crate) use self::identity::{Identity, Proof};
pub(crate) use self::keys::BadKey;
pub use self::keys::Keys;
pub(crate) use self::master_key::MasterKey;
pub use self::names::{BadName, DeviceName, DisplayName};
pub(crate) use self::nats_name::NatsName;
pub(crate) use self::networks::KeyNetworks;
pub(crate) use self::one_time::{OneTime, OneTimeHash, OneTimeText};
pub use self::password::{BadPassword, Password};
pub(crate) use self::password_hash::{Busy, Cost, Hasher, PasswordCheck, PasswordHash, Turn};
pub use self::registration::Registration;
pub(crate) use self::rotation::{GivenKeys, Ring};
pub(crate) use self::scopes::{Scope, Scopes};
pub use self::tokens::Tokens;
pub(crate) use self::tokens::{
    ACCESS_LIFE, BadToken, HOST_LIFE, LEEWAY, NewKeys, OURS, SHORTEST_HOST_LIFE, Terms,
};
pub use self::username::{BadUsername, Username};
pub(crate) use self::webhook_secret::{SignatureKind, WebhookSecret};
pub(crate) use crate::networks::Network;
