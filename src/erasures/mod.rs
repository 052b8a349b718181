//! What is **gone** for good? Erasures: requests, hiding and deleting the content that they name, and receipts; and
//! legal holds.
//!
//! A request names messages and titles, or an account, which is emptied first (`emptying`). When the request is due, a
//! node finds the messages and their edits in the log, and appends events that list them as erased (`hiding`). From
//! then on, no reader gets them. The eraser (`erasing`), which alone may delete, deletes everything that the log lists
//! as erased. Before it marks a request as done, it reads every position again, in the log and in its `copies`.
//!
//! Every step can be interrupted at any point and is then repeated: an event that is already listed is not listed
//! again, and deleting twice is harmless.
//!
//! Content that a legal hold names (`held`) is hidden like any other, but the eraser skips it until the hold is lifted
//! (`holds`). For messages older than the retention of their conversation, the server itself creates the requests
//! (`expiring`).

mod asking;
mod compacting;
mod copies;
mod emptying;
mod erasing;
mod error;
mod expiring;
mod held;
mod hiding;
mod holds;
mod late;
mod leftover;
mod listed;
mod pace;
mod receipt;
mod restored;

pub(crate) use crate::accounts::{
    ErasureScope,
    holds::{HoldSubjects, LegalHold, MOST_HOLDS},
};
pub(crate) use asking::{ErasureTarget, Erasures, MOST_GRACE, MOST_MESSAGES, OWN_GRACE, WantedErasure};
pub(crate) use emptying::erased_name;
pub(crate) use erasing::Eraser;
pub(crate) use error::ErasureError;
pub(crate) use expiring::Expiring;
pub(crate) use hiding::{DECIDED, Hiding};
pub(crate) use holds::{HoldError, MOST_SUBJECTS, WantedHold};
pub(crate) use leftover::{Leftover, leftover};
pub(crate) use receipt::{ErasureReceipt, ErasureState};
