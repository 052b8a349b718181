//! Which work a request asks for, for a node that cannot do all of it.

use poem::http::Method;

use crate::{api::http::document, overload::WorkKind};

/// The work of a request; `None` for what an overloaded node does all the same: it is small, or it protects somebody, as
/// revoking a login and blocking do. The gateway asks for its own handshakes.
pub(in crate::api) fn of(method: &Method, path: &str, query: &str) -> Option<WorkKind> {
    let path = path.strip_prefix(document::BASE)?.strip_prefix('/')?;
    let is_read = [Method::GET, Method::HEAD].contains(method);
    let looks_back = || query.split('&').any(|parameter| parameter.starts_with("as_of="));
    match path.split('/').next()? {
        "me" if path.ends_with("/accept") => Some(WorkKind::Send),
        "ws" | "info" | "me" => None,
        "accounts" => Some(WorkKind::Connect),
        "logins" => (*method == Method::POST).then_some(WorkKind::Connect),
        "events" => Some(WorkKind::Resume),
        "messages" => Some(WorkKind::Search),
        _ if is_read && looks_back() => Some(WorkKind::Search),
        _ if is_read => Some(WorkKind::History),
        _ if path.ends_with("/receipt") => Some(WorkKind::Receipts),
        _ => Some(WorkKind::Send),
    }
}
