//! The private servers of dev mode: a nats-server and a Postgres on loopback that belong to this process and
//! end with it.
//!
//! The tests start the same servers with other options; `tests/servers/` adds operations that only tests
//! need.

mod accounts;
mod error;
mod folder;
mod home;
mod nats;
mod postgres;
mod process;
mod running;
mod secret;
mod servers;
mod start;
mod temporary;
mod tools;
mod user;

pub use error::DevError;
pub use nats::{Accounts, Nats, NatsOptions, NatsUser, start_nats};
pub use postgres::{Postgres, PostgresOptions, start_postgres};
pub use running::running;
pub use servers::Servers;
pub use start::free_port;
pub use temporary::TemporaryFolder;
pub use tools::{Tools, tools, tools_in};
