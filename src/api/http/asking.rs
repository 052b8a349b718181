//! Keeps the user of the current request, for the layers around the check of the token.

use std::cell::OnceCell;

use crate::domain::UserId;

tokio::task_local! {
    static ASKING: OnceCell<UserId>;
}

/// Answers one request, whose user is not known yet.
pub(in crate::api) async fn within<F: Future>(answering: F) -> F::Output {
    ASKING.scope(OnceCell::new(), answering).await
}

/// Records the user of this request, after the token was checked.
pub(in crate::api) fn note(user: UserId) {
    // Both errors are harmless: a request has one caller, and outside of a request no layer asks for the
    // user.
    let _ = ASKING.try_with(|asking| asking.set(user));
}

/// The user of this request, if the request had a valid token.
pub(in crate::api) fn user() -> Option<UserId> {
    ASKING.with(|asking| asking.get().copied())
}
