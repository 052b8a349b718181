//! **External issuers**: tokens that other servers sign for the users of other applications (OpenID Connect, and plain
//! JWT).
//!
//! A token names its issuer (`iss`) and its key (`kid`). The issuer must be in the operator's file (`file.rs`). The key
//! comes only from the set of that issuer (`keys.rs`), so that no issuer can sign for another, whatever the names of
//! its keys are. `claims.rs` checks the claims of a token, and `logout.rs` those of a logout token.

mod claims;
mod document;
mod file;
mod issuer;
mod key_set;
mod keys;
mod known;
mod logout;
mod reload;
mod token;

pub(crate) use self::claims::Proven;
pub(crate) use self::file::BadFile;
pub(crate) use self::issuer::Issuer;
pub(crate) use self::keys::Pace;
pub(crate) use self::known::Issuers;
pub use self::known::NotProven;
pub(crate) use self::logout::{Ends, LoggedOut};
pub(crate) use self::reload::keep_current;
