//! The servers for stories, fault tests and benchmarks. They are the servers of `verbatim dev`, with operations that
//! only tests need: a test can kill, freeze and restart a server, configure it differently, or start a cluster of
//! three.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each binary uses its part")]

mod cluster;
mod hub;
mod nats;
mod postgres;
mod s3;
mod signals;

pub use cluster::{Cluster, start_cluster};
pub use hub::{Hub, start_hub};
pub use nats::{Nats, NatsOptions, start_nats};
pub use postgres::{Postgres, PostgresOptions, start_postgres};
pub use s3::ObjectStorage;
pub use signals::signal;
