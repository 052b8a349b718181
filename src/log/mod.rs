//! What **has** happened: events in JetStream. The only home of subjects, headers and streams.
//!
//! [`Log::append`] and [`Log::append_roster`] write, [`Log::follow`] reads a stream completely and
//! in order, [`Log::fold`] and [`Log::at`] look a conversation up.

mod bus;
mod connect;
mod connection;
mod contract;
mod envelope;
mod errors;
mod limits;
mod public_url;
mod read;
mod streams;
mod subject;
mod write;

pub use bus::lease::{Here, LEASE, LeaseChange, LeaseChanges, Leases, NodeId};
pub use bus::peers::{Peer, Peers};
pub use bus::signal::{Signal, Signals};
pub use bus::spending::Spendings;
pub(crate) use connect::can_be_url;
pub use connection::Log;
pub use contract::{channels, schema_files, schemas};
pub use envelope::{Draft, type_name};
pub use errors::{BadUrl, Conflict, Damaged, Malformed, NotAppended, NotRead, OpenError, Unavailable};
pub use limits::{APPEND_DEADLINE, DUPLICATE_WINDOW, MAX_EVENT_BYTES};
pub use public_url::PublicUrl;
pub use read::fold::FOLDS;
pub use read::follow::{PresenceFollower, StreamFollower};
pub use read::holes::Hole;
pub use read::points::{Found, Holds};
pub use read::replay::{PAGE, PAGE_BYTES, Replay};
pub use read::snapshots::Snapshots;
pub use streams::durability::Durability;
pub use streams::layout::{Layout, Wanted};
pub use streams::level::{CONTRACT, Contract};
pub use streams::mend::Mended;
pub use streams::survey::{StreamSeen, Survey};
pub use write::publish::Appended;
