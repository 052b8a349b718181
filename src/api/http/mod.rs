//! How we speak HTTP: bodies, pages, problems, strictness and the document.

pub mod accept;
pub mod asking;
pub mod body;
pub mod caller;
pub mod document;
pub mod edge;
pub mod examples;
pub mod explained;
pub mod few;
mod headers;
pub mod include;
mod on_behalf;
pub mod or_null;
pub mod page;
pub mod rate;
pub mod reasons;
pub mod refusals;
pub mod reply;
pub mod schemas;
pub mod scopes;
pub mod shown;
pub mod strict;
pub mod translated;
pub mod typed;
pub mod unread;
pub mod values;
pub mod work;
