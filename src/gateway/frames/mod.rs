//! Words: the frames of `verbatim.v1`, and how a socket is closed.

pub mod client;
pub mod close;
pub mod contract;
pub mod filter;
#[cfg(test)]
mod hostile;
pub mod reading;
pub mod server;
#[cfg(test)]
mod tests;
