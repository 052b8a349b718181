//! The kind of work that a request asks for, by which an overloaded node decides what to refuse.

use poem::http::Method;

use crate::{api::http::document, overload::WorkKind};

/// The kind of work of a request; `None` for requests that even an overloaded node serves. They are small, or they
/// protect a user, as revoking a login or a key and blocking do. A socket handshake is `None` too, because the gateway
/// itself decides whether to admit it.
pub(in crate::api) fn of(method: &Method, path: &str, query: &str) -> Option<WorkKind> {
    let path = path.strip_prefix(document::BASE)?.strip_prefix('/')?;
    let is_read = [Method::GET, Method::HEAD].contains(method);
    let looks_back = || query.split('&').any(|parameter| parameter.starts_with("as_of="));
    match path.split('/').next()? {
        "me" if path.ends_with("/accept") => Some(WorkKind::Send),
        "ws" | "info" | "me" | "admin" | "backchannel-logout" => None,
        "accounts" => Some(WorkKind::Connect),
        // Deactivating a user protects other users.
        "provision" if *method == Method::DELETE => None,
        "provision" if path.ends_with("/tokens") => Some(WorkKind::Connect),
        "logins" => (*method == Method::POST).then_some(WorkKind::Connect),
        "events" => Some(WorkKind::Resume),
        "messages" | "exports" => Some(WorkKind::Search),
        _ if is_read && looks_back() => Some(WorkKind::Search),
        _ if is_read => Some(WorkKind::History),
        _ if path.ends_with("/typing") => Some(WorkKind::Typing),
        _ if path.ends_with("/receipt") => Some(WorkKind::Receipts),
        _ => Some(WorkKind::Send),
    }
}
