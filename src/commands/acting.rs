//! The program that acts in the name of a user, for the command that is under way.

use std::cell::OnceCell;

use crate::domain::UserId;

tokio::task_local! {
    static VIA: OnceCell<UserId>;
}

/// Runs the work of one request or frame, whose caller is not known yet.
pub async fn within<F: Future>(work: F) -> F::Output {
    VIA.scope(OnceCell::new(), work).await
}

/// Records the service account that acts in this request or frame.
pub fn note(via: UserId) {
    // Both errors are harmless: a request has one caller, and outside of a request nothing is written.
    let _ = VIA.try_with(|noted| noted.set(via));
}

/// The service account that acts in this request or frame.
pub(super) fn via() -> Option<UserId> {
    VIA.try_with(|noted| noted.get().copied()).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_acts_in_its_own_request_only() {
        let bot: UserId = "01930f3c-5a7b-7c3d-8e4f-0123456789ab".parse().expect("id");
        let acts = within(async {
            note(bot);
            via()
        });
        assert_eq!(acts.await, Some(bot));
        assert_eq!(within(async { via() }).await, None);
        note(bot);
        assert_eq!(via(), None);
    }
}
