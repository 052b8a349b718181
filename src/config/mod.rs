//! The settings: flags or `VERBATIM_*` variables, each with its default and unit in `--help`. Secrets may
//! also come from files. The settings of traces and buckets use the variables of OpenTelemetry and AWS.

mod archive;
mod consumers;
mod database;
mod erasing;
mod exposed;
mod hashes;
mod issuers;
mod keys;
mod layout;
mod limits;
mod nats;
mod pair;
mod remote;
mod retention;
mod role;
mod secret;
mod servers;
mod settings;
mod tls;
mod traces;
mod webhooks;

pub use consumers::ConsumerSettings;
pub(crate) use erasing::{ErasingSettings, MirrorSettings};
pub(crate) use exposed::{costly_hashes, encrypted, named_origins};
pub use layout::LayoutSettings;
pub use remote::RemoteSettings;
pub use role::NodeRole;
pub use secret::BadSetting;
pub use servers::ServerSettings;
pub use settings::Settings;
pub(crate) use traces::SpanDestination;
