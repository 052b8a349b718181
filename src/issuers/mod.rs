//! **External issuers**: tokens that other servers sign for the users of other applications (OpenID Connect, and plain
//! JWT).
//!
//! A token names its issuer (`iss`) and its key (`kid`). The issuer has to be in the file of the operator (`file.rs`).
//! The key comes from the set of that issuer alone (`keys.rs`), so that no issuer can sign for another, whatever the names
//! of its keys are. `claims.rs` judges what the token says, and `logout.rs` the logout tokens of an issuer.

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
