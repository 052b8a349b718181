//! The door: an accept loop of our own under a poem endpoint. It bounds what a stranger can cost
//! (connections, heads, bodies, waits), refuses what is not well-formed HTTP, lets pages of other origins in
//! or not, and hands an upgraded connection out as a plain socket.

mod chunks;
mod client_address;
mod door;
mod head;
mod pages;
mod patient;
mod proxies;
mod requests;
mod settings;

pub use client_address::ClientAddress;
pub use door::{Upgrade, serve};
pub use pages::Origins;
pub use proxies::Proxies;
pub use settings::{BODY, Limits, Settings};
