//! What is **gone** for good? Erasures: requests, the hiding and the deletion of what they name, and receipts.
//!
//! A request names messages, or an account, which is emptied first (`emptying`). When its time has come, a node finds the
//! messages and their edits in the log, and says in the log that all of it is erased (`hiding`): from then on no reader is
//! given it. The eraser (`erasing`), which alone may delete, takes away whatever the log lists as erased, and reads every
//! position again before it says that a request is done, in the log and in its `copies`. Each step can be broken off at any point and is done again: what the
//! log lists already is not listed again, and what is gone stays gone. What a legal hold names (`held`) is hidden all the same,
//! and the eraser passes it over until the hold is lifted (`holds`). What is older than the retention of its conversation
//! is asked for by the server itself (`expiring`).

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
mod pace;
mod receipt;
mod wanted;

pub(crate) use crate::accounts::{
    ErasureScope,
    holds::{HoldSubjects, LegalHold, MOST_HOLDS},
};
pub(crate) use asking::{ErasureTarget, Erasures, MOST_GRACE, MOST_MESSAGES, OWN_GRACE, WantedErasure};
pub(crate) use erasing::{Eraser, Leftover, leftover};
pub(crate) use error::ErasureError;
pub(crate) use expiring::Expiring;
pub(crate) use hiding::Hiding;
pub(crate) use holds::{HoldError, MOST_SUBJECTS, WantedHold};
pub(crate) use receipt::{ErasureReceipt, ErasureState};
