//! Keeps the account, the operation and the list of the current request, for layers that are far from the router and the
//! token check.

use std::cell::OnceCell;

use crate::{commands::acting, credentials::Identity, domain::UserId};

tokio::task_local! {
    static ASKING: Asking;
}

#[derive(Default)]
struct Asking {
    user: OnceCell<UserId>,
    operation: OnceCell<&'static str>,
    list: OnceCell<Vec<u8>>,
}

/// Runs `answering` as one request, whose account and operation are not known yet.
pub(in crate::api) async fn within<F: Future>(answering: F) -> F::Output {
    ASKING.scope(Asking::default(), acting::within(answering)).await
}

/// Records the account whose token or key this request carried. If a program acts for a user, this is the account of
/// the program, because the program holds the connection.
pub(in crate::api) fn note(caller: &Identity) {
    // Both errors are harmless: a request has one caller, and outside of a request no layer asks for the
    // user.
    let _ = ASKING.try_with(|asking| asking.user.set(caller.user));
}

/// The account of this request, if the request had a valid token or key.
pub(in crate::api) fn user() -> Option<UserId> {
    ASKING.with(|asking| asking.user.get().copied())
}

/// Records the operation of this request, for metrics and log lines.
pub(in crate::api) fn note_operation(operation: &'static str) {
    let _ = ASKING.try_with(|asking| asking.operation.set(operation));
}

/// The operation of this request; `none` if the request has reached no operation.
pub(in crate::api) fn operation() -> &'static str {
    ASKING.with(|asking| asking.operation.get().copied()).unwrap_or("none")
}

/// Records the list that this request reads, as [`cursor`](super::cursor) names lists.
pub(in crate::api) fn note_list(list: Vec<u8>) {
    let _ = ASKING.try_with(|asking| asking.list.set(list));
}

/// The list of this request; empty if the request reads no list.
pub(in crate::api) fn list() -> Vec<u8> {
    let noted = ASKING.try_with(|asking| asking.list.get().cloned());
    noted.ok().flatten().unwrap_or_default()
}
