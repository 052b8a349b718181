//! Refreshing: each refresh token is used once, and one that comes back is taken for stolen.

use std::{fmt, time::Duration};

use sqlx::{FromRow, PgPool};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    credentials::{
        ACCESS_LIFE, Tokens,
        refresh_token::{self, Presented},
    },
    domain::{LoginId, Time, UserId},
};

/// How long the youngest pair is given again to a token that was just used: the first answer may be lost.
const GRACE: Duration = Duration::from_secs(10);

/// How long a login lives without being refreshed.
pub(crate) const IDLE_LIFE: Duration = Duration::from_secs(7 * 86_400);

/// How long a login lives at most.
pub(crate) const WHOLE_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// The answer to a login and to a refresh.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// The user of the login.
    pub user: UserId,
    /// The login.
    pub login: LoginId,
    /// The access token.
    pub access_token: String,
    /// How long the access token is good.
    pub expires_in: Duration,
    /// The refresh token that comes next; good once.
    pub refresh_token: String,
}

/// Why there is no new token.
#[derive(Debug, Error)]
pub enum RefreshError {
    /// `invalid_grant`: not a token of ours, or its login is over.
    #[error("the refresh token is not valid: log in again")]
    Refused {
        /// The login that ended just now because its token came back: cut its sockets everywhere.
        revoked: Option<LoginId>,
    },
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("login", &self.login).finish_non_exhaustive()
    }
}

impl Grant {
    /// The tokens of a generation. The access token begins when the generation did and is named
    /// after it: a second answer is the first one, to the byte.
    pub(crate) fn of(
        tokens: &Tokens,
        user: UserId,
        login: LoginId,
        generation: i32,
        begun: Time,
        refresh_token: &str,
    ) -> Self {
        Self {
            user,
            login,
            access_token: tokens.issue(user, login, begun, format!("{login}.{generation}")),
            expires_in: ACCESS_LIFE,
            refresh_token: refresh_token.to_owned(),
        }
    }
}

#[derive(Clone, FromRow)]
struct Family {
    account_id: Uuid,
    generation: i32,
    token_hash: Vec<u8>,
    salt: Vec<u8>,
    rotated_at: OffsetDateTime,
    last_used_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    revoked_at: Option<OffsetDateTime>,
    /// When the token that is presented was used, if that is known to be lately.
    spent_at: Option<OffsetDateTime>,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The youngest token: give out the next.
    Current,
    /// An older token, used a moment ago: give the youngest pair again.
    JustUsed,
    /// A token that was used before: somebody else has it.
    CameBack,
    /// Not ours, or over.
    Refused,
}

/// Gives out the next pair of tokens. Of many that present one token at the same time all get the
/// same pair. A token that comes back 10 s after it was used ends its login; before that it never does,
/// however many others have been used since.
pub async fn refresh(pool: &PgPool, tokens: &Tokens, text: &str, now: Time) -> Result<Grant, RefreshError> {
    const REFUSED: RefreshError = RefreshError::Refused { revoked: None };
    let presented = Presented::parse(text).ok_or(REFUSED)?;
    let family = load(pool, &presented).await?.ok_or(REFUSED)?;
    match judge(&family, &presented, text, tokens, now) {
        Verdict::Current => {}
        Verdict::JustUsed => return answer_again(tokens, presented.login, &family).ok_or(REFUSED),
        Verdict::CameBack => {
            let revoked = end(pool, presented.login, now).await?;
            return Err(RefreshError::Refused { revoked });
        }
        Verdict::Refused => return Err(REFUSED),
    }
    if let Some(grant) = rotate(pool, tokens, presented.login, &family, now).await? {
        return Ok(grant);
    }
    // Another one with the same token was faster. This one was the youngest a moment ago, so it is
    // not taken for stolen, whatever has happened since.
    let family = load(pool, &presented).await?.ok_or(REFUSED)?;
    match judge(&family, &presented, text, tokens, now) {
        Verdict::JustUsed => answer_again(tokens, presented.login, &family).ok_or(REFUSED),
        _ => Err(REFUSED),
    }
}

fn judge(family: &Family, presented: &Presented, text: &str, tokens: &Tokens, now: Time) -> Verdict {
    let over = family.revoked_at.is_some()
        || now >= Time::of(family.expires_at)
        || now.since(Time::of(family.last_used_at)) >= IDLE_LIFE;
    if over || !presented.is_genuine(tokens.keys(), &family.salt) {
        return Verdict::Refused;
    }
    match family.generation.checked_sub(presented.generation) {
        Some(0) if refresh_token::hash_of(text) == *family.token_hash => Verdict::Current,
        Some(1..) if family.spent_at.is_some_and(|at| now.since(Time::of(at)) <= GRACE) => Verdict::JustUsed,
        Some(1..) => Verdict::CameBack,
        _ => Verdict::Refused,
    }
}

async fn load(pool: &PgPool, presented: &Presented) -> Result<Option<Family>, sqlx::Error> {
    sqlx::query_as(
        "select account_id, generation, token_hash, salt, rotated_at, last_used_at, expires_at, revoked_at,
                (select spent_at from auth.spent_refresh s where s.login_id = login.id and s.generation = $2)
         from auth.login where id = $1",
    )
    .bind(presented.login.uuid())
    .bind(presented.generation)
    .fetch_optional(pool)
    .await
}

/// The next generation; nothing if somebody else made it first.
async fn rotate(
    pool: &PgPool,
    tokens: &Tokens,
    login: LoginId,
    family: &Family,
    now: Time,
) -> Result<Option<Grant>, sqlx::Error> {
    let generation = family.generation.saturating_add(1);
    let token = refresh_token::make(tokens.keys(), login, generation, &family.salt);
    let changed = sqlx::query(
        "with rotated as (
             update auth.login set generation = $3, token_hash = $4, rotated_at = $5, last_used_at = $5
             where id = $1 and generation = $2 and revoked_at is null returning id
         ), forgotten as (
             delete from auth.spent_refresh where login_id = $1 and spent_at < $6
         )
         insert into auth.spent_refresh (login_id, generation, spent_at)
         select id, $2, $5 from rotated",
    )
    .bind(login.uuid())
    .bind(family.generation)
    .bind(generation)
    .bind(&refresh_token::hash_of(&token)[..])
    .bind(now.datetime())
    .bind(now.datetime() - GRACE)
    .execute(pool)
    .await?;
    let user = UserId::known(family.account_id);
    Ok((changed.rows_affected() == 1).then(|| Grant::of(tokens, user, login, generation, now, &token)))
}

fn answer_again(tokens: &Tokens, login: LoginId, family: &Family) -> Option<Grant> {
    let Family { generation, salt, token_hash, .. } = family;
    let token = refresh_token::make_again(tokens.keys(), login, *generation, salt, token_hash)?;
    let (user, begun) = (UserId::known(family.account_id), Time::of(family.rotated_at));
    Some(Grant::of(tokens, user, login, *generation, begun, &token))
}

/// Ends a login; answers it if it was not over yet.
async fn end(pool: &PgPool, login: LoginId, now: Time) -> Result<Option<LoginId>, sqlx::Error> {
    let ended: Option<Uuid> = sqlx::query_scalar(
        "update auth.login set revoked_at = $2 where id = $1 and revoked_at is null returning id",
    )
    .bind(login.uuid())
    .bind(now.datetime())
    .fetch_optional(pool)
    .await?;
    Ok(ended.map(LoginId::known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Keys;

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
            account_id: login().uuid(),
            generation: 5,
            token_hash: refresh_token::hash_of(&token(tokens, 5)).to_vec(),
            salt: SALT.to_vec(),
            rotated_at: start().datetime(),
            last_used_at: start().datetime(),
            expires_at: start().plus(WHOLE_LIFE).datetime(),
            revoked_at: None,
            spent_at: None,
        }
    }

    fn token(tokens: &Tokens, generation: i32) -> String {
        refresh_token::make(tokens.keys(), login(), generation, SALT).to_string()
    }

    fn verdict(tokens: &Tokens, family: &Family, generation: i32, now: Time) -> Verdict {
        let text = token(tokens, generation);
        judge(family, &Presented::parse(&text).expect("token"), &text, tokens, now)
    }

    #[test]
    fn only_the_youngest_token_is_good_and_each_one_before_it_for_ten_seconds_after_its_use() {
        let tokens = tokens();
        let family = family(&tokens);
        assert_eq!(verdict(&tokens, &family, 5, after(60)), Verdict::Current);
        for generation in [4, 3, 0] {
            let spent = Family { spent_at: Some(start().datetime()), ..family.clone() };
            assert_eq!(verdict(&tokens, &spent, generation, after(0)), Verdict::JustUsed);
            assert_eq!(verdict(&tokens, &spent, generation, after(10)), Verdict::JustUsed);
            assert_eq!(verdict(&tokens, &spent, generation, after(11)), Verdict::CameBack);
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
        let revoked = Family { revoked_at: Some(start().datetime()), ..family.clone() };
        for generation in [3, 4, 5] {
            assert_eq!(verdict(&tokens, &revoked, generation, after(1)), Verdict::Refused);
            assert_eq!(verdict(&tokens, &family, generation, after(8 * DAY)), Verdict::Refused);
        }
        assert_eq!(verdict(&tokens, &family, 5, after(7 * DAY - 1)), Verdict::Current);
        let busy = Family { last_used_at: after(29 * DAY).datetime(), ..family };
        assert_eq!(verdict(&tokens, &busy, 5, after(30 * DAY - 1)), Verdict::Current);
        assert_eq!(verdict(&tokens, &busy, 5, after(30 * DAY)), Verdict::Refused);
    }

    #[test]
    fn the_second_answer_is_the_first_to_the_byte() {
        let tokens = tokens();
        let family = family(&tokens);
        let user = UserId::known(family.account_id);
        let first = Grant::of(&tokens, user, login(), 5, start(), &token(&tokens, 5));
        assert_eq!(answer_again(&tokens, login(), &family), Some(first));
    }

    #[test]
    fn a_grant_does_not_print_its_tokens() {
        let tokens = tokens();
        let grant = answer_again(&tokens, login(), &family(&tokens)).expect("grant");
        assert_eq!(format!("{grant:?}"), format!("Grant {{ login: {:?}, .. }}", login()));
    }
}
