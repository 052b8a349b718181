//! The servers of stories, faults and benchmarks: those of `verbatim dev`, and what only a test does to a server. It
//! kills, freezes and restarts the server, sets it up in another way, or makes a cluster of three.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each binary uses its part")]

mod cluster;
mod nats;
mod postgres;
mod s3;
mod signals;

pub use cluster::{Cluster, start_cluster};
pub use nats::{Nats, NatsOptions, start_nats};
pub use postgres::{Postgres, PostgresOptions, start_postgres};
pub use s3::ObjectStorage;
