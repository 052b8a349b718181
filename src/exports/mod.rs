//! **Exports**: what a user may take along, as one zip: the profile, the logins, the settings, and the events of each
//! conversation that the user may see. For an operator, an export has the content under a legal hold: the same zip,
//! with the events as they are in the log, including those that no user can see.
//!
//! Nothing of an export is stored. A request stores the current position of every stream. The zip is written from the
//! log and the views up to these positions while a client downloads it, as fast as the client reads. So an erasure has
//! nothing to rewrite here, and a text that was deleted after the request is in no later download.
//!
//! ```text
//! request -> a row in auth.export        (Exports::request)
//! look    -> the row, and a link         (Exports::one, Exports::list, link.rs)
//! link    -> checks, a place             (Exports::download)
//!            a task with a deadline      (download.rs)
//!            files, in order             (content.rs, material.rs: own.rs, visible.rs, withheld.rs, or held.rs)
//!            the bytes of the zip        (zipped.rs, sending.rs) -> a queue of two pieces -> the client
//! ```

mod content;
mod download;
mod error;
mod held;
mod line;
mod link;
mod material;
mod own;
mod requests;
mod sending;
mod visible;
mod withheld;
mod zipped;

pub use download::Download;
pub use error::ExportError;
pub use requests::{ExportSettings, Exports, SeenExport};

pub(crate) use requests::{ExportParts, LIFE};
pub(crate) use sending::BYTES_PER_SECOND;
