//! **Outbound**: the one HTTP client of this process, for requests to addresses that other people name.
//!
//! Such a request could be aimed at a target that only this machine can reach: the metadata service of a cloud, a
//! database, a console. Therefore a client connects to public addresses only (`address.rs`), and to the networks that
//! the operator allows. It judges exactly the addresses that it then connects to (`connect.rs`): with a separate check
//! before the connection, a name server could give one address to the check and another to the connection. The client
//! uses no proxy, follows no redirect, and bounds the time and the size of an answer.
//!
//! The command line calls the node that its operator names (`named.rs`), without this guard: only the operator can name
//! it.

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
