//! Logs, metrics, the trace that a request belongs to, and spans.

mod format;
mod lines;
mod metrics;
mod seldom;
mod trace;
pub(crate) mod traces;

pub(crate) use format::LogFormat;
pub(crate) use lines::start;
pub(crate) use metrics::{
    APPENDS, CACHES, METRICS, OneCache, OneMore, PROCESS, PROGRESS, REQUESTS, SOCKETS, StreamAppends,
    exposition,
};
pub(crate) use trace::{TraceParent, within};
