//! Keeps the user of the current request, for the layers around the check of the token.

use std::cell::OnceCell;

use crate::{commands::acting, credentials::Identity, domain::UserId};

tokio::task_local! {
    static ASKING: OnceCell<UserId>;
}

/// Answers one request, whose user is not known yet.
pub(in crate::api) async fn within<F: Future>(answering: F) -> F::Output {
    ASKING.scope(OnceCell::new(), acting::within(answering)).await
}

/// Records the caller of this request, after the token was checked.
pub(in crate::api) fn note(caller: &Identity) {
    acting::note(caller);
    // Both errors are harmless: a request has one caller, and outside of a request no layer asks for the
    // user.
    let _ = ASKING.try_with(|asking| asking.set(caller.user));
}

/// The user of this request, if the request had a valid token.
pub(in crate::api) fn user() -> Option<UserId> {
    ASKING.with(|asking| asking.get().copied())
}
