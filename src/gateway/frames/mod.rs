//! The vocabulary: the frames of `verbatim.v1`, and the reasons to close a socket.

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
