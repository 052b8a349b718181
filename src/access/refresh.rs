//! Refreshing: each refresh token can be used once, and a spent token that is used after its grace period
//! counts as stolen.

use super::{error::AccessError, grant::Grant, needs::Access};
use crate::{
    accounts::{self, By, Family, Stamp, refresh::IDLE_LIFE},
    credentials::{
        Tokens,
        refresh_token::{self, Presented},
    },
    domain::{LoginId, Time},
};

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The latest token. The answer is the next pair.
    Current,
    /// A spent token within its grace period. The answer is the latest pair again.
    JustUsed,
    /// A spent token after its grace period. It may have been stolen, so the login ends.
    CameBack,
    /// A text that is not a token of Verbatim, or a token of a login that has ended.
    Refused,
}

impl Access {
    /// Spends a refresh token and returns the next pair of tokens. Concurrent requests with the same token
    /// get the same pair. A spent token ends its login on all nodes if it is used after its grace period.
    /// Within its grace period it never ends the login, however many later tokens have been spent since.
    pub async fn refresh(&self, text: &str) -> Result<Grant, AccessError> {
        use AccessError::InvalidGrant;
        let Self { tokens, clock, .. } = self;
        let now = clock.now();
        let presented = Presented::parse(text).ok_or(InvalidGrant)?;
        let family = self.family(&presented).await?;
        match judge(&family, &presented, text, tokens, now) {
            Verdict::Current => {}
            Verdict::JustUsed => return answer_again(tokens, presented.login, &family).ok_or(InvalidGrant),
            Verdict::CameBack => {
                let stamp = Stamp::now(clock, By::default());
                if accounts::refresh::end(&self.pool, presented.login, stamp).await? {
                    self.cut_off(&[presented.login]).await;
                }
                return Err(InvalidGrant);
            }
            Verdict::Refused => return Err(InvalidGrant),
        }
        if let Some(grant) = self.rotate(presented.login, &family, now).await? {
            return Ok(grant);
        }
        // Another request with the same token was faster, or the login was revoked. The token was the latest
        // one a moment ago, so it does not count as stolen, whatever has happened since.
        let family = self.family(&presented).await?;
        match judge(&family, &presented, text, tokens, now) {
            Verdict::JustUsed => answer_again(tokens, presented.login, &family).ok_or(InvalidGrant),
            _ => Err(InvalidGrant),
        }
    }

    async fn family(&self, presented: &Presented) -> Result<Family, AccessError> {
        let family = accounts::refresh::family(&self.pool, presented.login, presented.generation).await?;
        family.ok_or(AccessError::InvalidGrant)
    }

    /// Creates the next generation; `None` if another request created it first, or if the login was revoked
    /// meanwhile.
    async fn rotate(&self, login: LoginId, family: &Family, now: Time) -> Result<Option<Grant>, AccessError> {
        let generation = family.generation.saturating_add(1);
        let token = refresh_token::make(&self.tokens.keys(), login, generation, &family.salt);
        let next = (generation, &refresh_token::hash_of(&token)[..]);
        let rotated = accounts::refresh::rotate(&self.pool, login, family.generation, next, now).await?;
        Ok(rotated
            .then(|| Grant::of(&self.tokens, family.user, login, family.terms, generation, now, &token)))
    }
}

fn judge(family: &Family, presented: &Presented, text: &str, tokens: &Tokens, now: Time) -> Verdict {
    let over = family.revoked_at.is_some()
        || now >= family.expires_at
        || now.since(family.last_used_at) >= IDLE_LIFE;
    if over || !presented.is_genuine(&tokens.keys(), &family.salt) {
        return Verdict::Refused;
    }
    match family.generation.checked_sub(presented.generation) {
        Some(0) if refresh_token::hash_of(text) == *family.token_hash => Verdict::Current,
        Some(1..) if family.is_just_spent => Verdict::JustUsed,
        Some(1..) => Verdict::CameBack,
        _ => Verdict::Refused,
    }
}

fn answer_again(tokens: &Tokens, login: LoginId, family: &Family) -> Option<Grant> {
    let Family { user, terms, generation, salt, token_hash, rotated_at, .. } = family;
    let token = refresh_token::make_again(&tokens.keys(), login, *generation, salt, token_hash)?;
    Some(Grant::of(tokens, *user, login, *terms, *generation, *rotated_at, &token))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        accounts::refresh::WHOLE_LIFE,
        credentials::{Keys, Terms},
        domain::UserId,
    };

    const SALT: &[u8] = &[3; 16];

    fn login() -> LoginId {
        "01930f3c-5a7b-7c3d-9e4f-ba9876543210".parse().expect("id")
    }

    fn start() -> Time {
        "2026-11-24T12:00:00.250Z".parse().expect("time")
    }

    fn after(seconds: u64) -> Time {
        start().plus(Duration::from_secs(seconds))
    }

    fn tokens() -> Tokens {
        Tokens::new(Keys::from_pem(&Keys::generate_pem(), None).expect("keys"), "verbatim", "verbatim")
    }

    /// A login that was rotated to generation 5 at the start.
    fn family(tokens: &Tokens) -> Family {
        Family {
            user: UserId::known(login().uuid()),
            terms: Terms::default(),
            generation: 5,
            token_hash: refresh_token::hash_of(&token(tokens, 5)).to_vec(),
            salt: SALT.to_vec(),
            rotated_at: start(),
            last_used_at: start(),
            expires_at: start().plus(WHOLE_LIFE),
            revoked_at: None,
            is_just_spent: false,
        }
    }

    fn token(tokens: &Tokens, generation: i32) -> String {
        refresh_token::make(&tokens.keys(), login(), generation, SALT).to_string()
    }

    fn verdict(tokens: &Tokens, family: &Family, generation: i32, now: Time) -> Verdict {
        let text = token(tokens, generation);
        judge(family, &Presented::parse(&text).expect("token"), &text, tokens, now)
    }

    #[test]
    fn only_the_youngest_token_is_good_and_each_one_before_it_while_its_use_is_recent() {
        let tokens = tokens();
        let family = family(&tokens);
        assert_eq!(verdict(&tokens, &family, 5, after(60)), Verdict::Current);
        for generation in [4, 3, 0] {
            let spent = Family { is_just_spent: true, ..family.clone() };
            assert_eq!(
                verdict(&tokens, &spent, generation, after(60)),
                Verdict::JustUsed,
                "by another clock"
            );
            assert_eq!(verdict(&tokens, &family, generation, after(0)), Verdict::CameBack, "long ago");
        }
    }

    #[test]
    fn what_nobody_gave_out_ends_no_login() {
        let [tokens, stranger] = [tokens(), tokens()];
        let family = family(&tokens);
        for generation in [0, 4, 5, 6, -1, i32::MIN, i32::MAX] {
            let text = token(&stranger, generation);
            let presented = Presented::parse(&text).expect("token");
            assert_eq!(judge(&family, &presented, &text, &tokens, after(60)), Verdict::Refused);
        }
        assert_eq!(verdict(&tokens, &family, 6, after(60)), Verdict::Refused, "from the future");
        let other = Family { token_hash: vec![0; 32], ..family };
        assert_eq!(verdict(&tokens, &other, 5, after(60)), Verdict::Refused, "not the one remembered");
    }

    #[test]
    fn a_login_ends_by_revocation_idleness_and_age() {
        const DAY: u64 = 86_400;
        let tokens = tokens();
        let family = family(&tokens);
        let revoked = Family { revoked_at: Some(start()), ..family.clone() };
        for generation in [3, 4, 5] {
            assert_eq!(verdict(&tokens, &revoked, generation, after(1)), Verdict::Refused);
            assert_eq!(verdict(&tokens, &family, generation, after(8 * DAY)), Verdict::Refused);
        }
        assert_eq!(verdict(&tokens, &family, 5, after(7 * DAY - 1)), Verdict::Current);
        let busy = Family { last_used_at: after(29 * DAY), ..family };
        assert_eq!(verdict(&tokens, &busy, 5, after(30 * DAY - 1)), Verdict::Current);
        assert_eq!(verdict(&tokens, &busy, 5, after(30 * DAY)), Verdict::Refused);
    }

    #[test]
    fn the_second_answer_is_the_first_to_the_byte() {
        let tokens = tokens();
        let family = family(&tokens);
        let user = family.user;
        let first = Grant::of(&tokens, user, login(), Terms::default(), 5, start(), &token(&tokens, 5));
        assert_eq!(answer_again(&tokens, login(), &family), Some(first));
    }

    #[test]
    fn a_grant_does_not_print_its_tokens() {
        let tokens = tokens();
        let grant = answer_again(&tokens, login(), &family(&tokens)).expect("grant");
        assert_eq!(format!("{grant:?}"), format!("Grant {{ login: {:?}, .. }}", login()));
    }
}
