//! Logs, metrics, and the trace that a request belongs to.

mod format;
mod lines;
mod metrics;
mod seldom;
mod trace;

pub use format::LogFormat;
pub use lines::start;
pub use metrics::{METRICS, exposition};
pub use trace::{TraceParent, within};
