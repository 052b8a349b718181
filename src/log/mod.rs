//! What **has** happened: events in JetStream. The only home of subjects, headers and streams.
//!
//! [`Log::append`] and [`Log::append_roster`] write, [`Log::follow`] reads a stream completely and
//! in order, [`Log::fold`] and [`Log::at`] look a conversation up.
//!
//! A [`Log`] is a connection and joins its parts: `streams/` creates the streams, `memory/` has what this process
//! remembers of them, `write/` has the queue in front of each stream. Reading, appending and upkeep need a connection,
//! so their files are on the floor above `connection.rs`.

mod absent;
mod append;
mod audited;
mod audited_contract;
mod bus;
mod claims;
mod connect;
mod connection;
mod connections;
mod contract;
mod copies;
mod durables;
mod envelope;
mod erase;
mod errors;
mod kept;
mod level;
mod limits;
mod memory;
mod mirrors;
mod parked;
mod public_url;
mod raft;
mod read;
mod records;
mod remake;
mod restoring;
mod streams;
mod structured;
mod subject;
mod trail;
mod upkeep;
mod write;

pub use audited::{audit_headers, audit_subject, read_audit};
pub(crate) use bus::claims::{CLAIM, Claim, ClaimBucket};
pub(crate) use bus::commands::{CommandRequest, CommandRequests};
pub(crate) use bus::flush::FlushRequests;
pub use bus::lease::LEASE;
pub(crate) use bus::lease::{Here, LeaseChange, LeaseNews, Leases, MARKER, NodeId, NotKept};
pub(crate) use bus::peers::Peer;
pub(crate) use bus::signal::Signal;
pub(crate) use bus::spending::Spendings;
pub(crate) use claims::SystemAccount;
pub use connect::NatsServers;
pub(crate) use connect::{NatsLogin, NatsTls};
pub use connection::Log;
pub(crate) use contract::channels;
pub use contract::{schema_files, schemas};
pub(crate) use copies::{CopiesRead, ErasedCopies};
pub(crate) use durables::{ConsumerDurable, DurableState, Durables, FoundDurable, GROUP, StartAt};
pub(crate) use envelope::client_hash;
pub use envelope::{Draft, type_name};
pub(crate) use errors::{Conflict, Damaged, NotRead, OpenError};
pub use errors::{NotAppended, Unavailable};
pub(crate) use kept::KeptDurable;
pub(crate) use level::{CONTRACT, Contract};
pub use limits::APPEND_DEADLINE;
pub(crate) use memory::age::ELECTION;
pub(crate) use memory::erased::ErasedEvent;
pub(crate) use memory::holes::Hole;
pub(crate) use memory::snapshots::Snapshots;
pub(crate) use memory::wanted::WantedContent;
pub use mirrors::{BadMirrors, MirrorNames};
pub(crate) use mirrors::{Mirror, MirrorName, NotMirrored};
pub(crate) use parked::DeadLetter;
pub(crate) use public_url::PublicUrl;
pub(crate) use raft::RaftLogs;
pub(crate) use read::fold::FOLDS;
pub(crate) use read::follow::StreamFollower;
pub(crate) use read::points::{Found, Holds};
pub use read::replay::PAGE;
pub(crate) use read::replay::{PAGE_BYTES, Replay};
pub(crate) use records::{Record, RecordReader, StreamEnds};
pub(crate) use remake::Remake;
pub(crate) use restoring::{NotRestored, Remade, Restoring, writer::Writer};
pub(crate) use streams::layout::Layout;
pub use streams::layout::Wanted;
pub(crate) use structured::{EventData, structured};
pub(crate) use trail::{AUDIT_PAGE, Audit, AuditPage, AuditRange, NotAudited};
pub(crate) use upkeep::durability::Durability;
pub(crate) use upkeep::mend::Mended;
#[cfg(test)]
pub(crate) use upkeep::survey::StreamSeen;
pub(crate) use upkeep::survey::Survey;
pub(crate) use write::publish::Appended;
