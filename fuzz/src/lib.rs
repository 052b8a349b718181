//! The parsers of the crate, included file by file. A build of the whole crate would instrument hundreds of
//! dependencies, of which a parser needs twenty.

#![allow(dead_code, missing_docs, unused_imports, clippy::disallowed_methods)]

#[path = "../../src/cache.rs"]
mod cache;
#[path = "../../src/domain/mod.rs"]
pub mod domain;

#[path = "../../src/credentials"]
pub mod credentials {
    pub mod bidi;
    pub mod identity;
    pub mod keys;
    pub mod names;
    pub mod password;
    pub mod precis;
    pub mod refresh_token;
    pub mod scopes;
    mod sha256;
    pub mod tokens;
    pub mod username;

    pub use identity::{Identity, Proof};
    pub use keys::Keys;
    pub use names::{DeviceName, DisplayName};
    pub use password::Password;
    pub use scopes::{Scope, Scopes};
    pub use tokens::{BadToken, Tokens};
    pub use username::Username;

    /// Whether a text parses as a refresh token.
    pub fn is_read_as_refresh_token(text: &str) -> bool {
        refresh_token::Presented::parse(text).is_some()
    }
}

#[path = "../../src/feed"]
pub mod feed {
    pub mod cursor;

    use crate::domain::{Position, UserId};

    /// The positions of a cursor that is accepted.
    pub fn positions(cursors: &cursor::Cursors, user: UserId, text: &str) -> Option<Vec<Position>> {
        cursors.read(user, text).ok().map(|claim| claim.positions)
    }
}

#[path = "../../src/gateway"]
pub mod gateway {
    pub mod frames {
        pub mod client;
        pub mod filter;
        pub mod reading;
    }
    pub mod wire {
        pub mod websocket;
    }
}

#[path = "../../src/overload"]
mod overload {
    mod work;

    pub(crate) use work::WorkKind;
}

#[path = "../../src/log"]
pub mod log {
    mod subject;

    use crate::domain::{ConversationId, Lane};

    /// The conversation and the lane of a subject.
    pub fn place(subject: &str) -> Option<(ConversationId, Lane)> {
        let (conversation, last) = subject::conversation(subject)?;
        Some((conversation, subject::lane(last)?))
    }
}

#[path = "../../src/telemetry/metrics"]
mod telemetry {
    mod caches;
    mod group;

    pub(crate) use caches::{CACHES, OneCache};
}

#[path = "../../src/views"]
pub mod views {
    pub mod query;
    mod words;

    pub use query::SearchQuery;

    /// The text of the `tsquery` of a query.
    pub fn tsquery(query: &SearchQuery) -> &str {
        &query.query
    }
}
