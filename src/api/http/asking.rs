//! The user who makes a request, for all that runs on behalf of it.

use std::cell::OnceCell;

use crate::domain::UserId;

tokio::task_local! {
    static ASKING: OnceCell<UserId>;
}

/// Runs the answering of one request, of which no user is known yet.
pub(in crate::api) async fn within<F: Future>(answering: F) -> F::Output {
    ASKING.scope(OnceCell::new(), answering).await
}

/// Notes the user, once the token has been checked.
pub(in crate::api) fn note(user: UserId) {
    // A request has one caller, and outside of a request there is nothing to note.
    let _ = ASKING.try_with(|asking| asking.set(user));
}

/// The user of this request, if one was noted.
pub(in crate::api) fn user() -> Option<UserId> {
    ASKING.with(|asking| asking.get().copied())
}
