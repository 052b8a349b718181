//! **Outbound**: the one HTTP client of this process, for requests to addresses that other people name.
//!
//! Such a request could be aimed at what only this machine reaches: the metadata of a cloud, a database, a console.
//! Therefore a client connects to public addresses only (`address.rs`), and to the networks that the operator allows. It
//! judges the addresses that it then connects to (`connect.rs`): a check before the connection could be passed with one
//! answer of a name server, and the connection made with another. It asks no proxy, follows no redirect, and bounds the
//! time and the size of an answer.
//!
//! The command line asks the node that its operator names (`named.rs`), without this guard: nobody else can name it.

mod address;
mod client;
mod connect;
mod named;
mod target;
#[cfg(test)]
mod tests;
mod trust;

pub(crate) use self::client::{Answer, Bounds, Failed, Outbound, Schemes, Verb, is_header};
pub(crate) use self::named::{NamedServer, PlainHttp};
pub(crate) use self::target::{BadTarget, Target};
pub(crate) use self::trust::Trust;
