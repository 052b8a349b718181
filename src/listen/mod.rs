//! The door: our own accept loop under a poem endpoint. The door limits the cost of unauthenticated clients
//! (connections, heads, bodies, waits), refuses malformed HTTP, admits or refuses web pages of other origins, speaks
//! TLS, and hands out an upgraded connection as a plain socket.

mod certificate;
mod chunks;
mod client_address;
mod door;
mod head;
mod newcomers;
mod pages;
mod parting;
mod patient;
mod proxies;
mod refusals;
mod reload;
mod requests;
mod settings;
mod stream;
mod tls;
mod upgrade;
mod validity;

pub use certificate::Certificate;
pub use client_address::ClientAddress;
pub use door::serve;
pub use newcomers::is_known;
pub use pages::Origins;
pub use proxies::Proxies;
pub use reload::keep_current;
pub use settings::{BODY, Limits, Settings};
pub use tls::Tls;
pub use upgrade::{Link, Upgrade};
