//! The caller of the current request or frame: the program that acts in the name of a user, and the key whose budget
//! pays.

use std::cell::OnceCell;

use crate::{
    credentials::{Identity, Proof},
    domain::UserId,
    limits::{Exceeded, Policy, RateLimits},
};

tokio::task_local! {
    static ACTING: OnceCell<Identity>;
}

/// Runs the work of one request or frame, whose caller is not known yet.
pub async fn within<F: Future>(work: F) -> F::Output {
    ACTING.scope(OnceCell::new(), work).await
}

/// Records the caller of this request or frame.
pub fn note(caller: &Identity) {
    // Both errors are harmless: a request has one caller, and outside of a request nothing is recorded.
    let _ = ACTING.try_with(|noted| noted.set(*caller));
}

/// Takes the cost of a request or frame. A key has a budget of its own, instead of the budget of its account.
pub fn charge(limits: &RateLimits, caller: &Identity) -> Result<(), Exceeded> {
    match caller.proof {
        Proof::Key => limits.admit(Policy::Service, caller.login),
        Proof::Login | Proof::Issuer => limits.admit(Policy::User, caller.user),
    }
}

/// Whether a key pays for this request or frame alone, without the budgets of its account.
pub(super) fn is_paid_by_key() -> bool {
    noted().is_some_and(|caller| caller.is_program())
}

/// The service account that acts in this request or frame.
pub(super) fn via() -> Option<UserId> {
    noted().and_then(|caller| caller.via)
}

fn noted() -> Option<Identity> {
    ACTING.try_with(|noted| noted.get().copied()).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, credentials::Scopes, domain::LoginId};

    #[tokio::test]
    async fn a_program_acts_in_its_own_request_only() {
        let clock = Clock::system();
        let bot = clock.id(UserId::known);
        let caller = Identity {
            user: clock.id(UserId::known),
            login: clock.id(LoginId::known),
            proof: Proof::Key,
            expires_at: clock.now(),
            via: Some(bot),
            scopes: Scopes::PERSON,
        };
        let acts = within(async {
            note(&caller);
            (via(), is_paid_by_key())
        });
        assert_eq!(acts.await, (Some(bot), false));
        let alone = within(async {
            note(&Identity { via: None, ..caller });
            (via(), is_paid_by_key())
        });
        assert_eq!(alone.await, (None, true));
        assert_eq!(within(async { (via(), is_paid_by_key()) }).await, (None, false));
        note(&caller);
        assert_eq!((via(), is_paid_by_key()), (None, false));
    }
}
