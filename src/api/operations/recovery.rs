//! Recovering an account whose password is forgotten.

use std::{sync::Arc, time::Duration};

use poem_openapi::{Object, OpenApi, param::Path, types::Example};
use serde::{Deserialize, Serialize};

use crate::{
    access::{Access, RECOVERY_DEFAULT, RECOVERY_LIFE},
    api::{
        Body, BodyIfAny, Caller, Created, Done, Proven, Ruled, given, http::examples, operations::tag::Tag,
    },
    domain::{Time, UserId},
    listen::ClientAddress,
    problems::Problem,
};

/// The lifetime of a recovery token
#[derive(Default, Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct RecoveryRequest {
    /// The seconds until the token expires, 300 to 86400. The default is 3600
    #[serde(default, deserialize_with = "given")]
    #[oai(validator(minimum(value = "300"), maximum(value = "86400")))]
    expires_in: Option<u32>,
}

impl Example for RecoveryRequest {
    fn example() -> Self {
        Self { expires_in: Some(3_600) }
    }
}

/// A recovery token
#[derive(Serialize, Object)]
#[oai(example)]
struct Recovery {
    /// The user of the account
    user_id: UserId,
    /// The token. Shown only once. Anyone who has it can set the password of the account
    token: String,
    /// When the token expires
    expires_at: Time,
}

impl Example for Recovery {
    fn example() -> Self {
        Self {
            user_id: examples::ana(),
            token: TOKEN.into(),
            expires_at: examples::time().plus(RECOVERY_DEFAULT),
        }
    }
}

const TOKEN: &str = "vbr_Yk9zcXhnN2hVc2VhZlB2d0tTbGZ2bHRrRkpqTjV5Q0E";

/// A recovery token, and the new password
#[derive(Deserialize, Object)]
#[serde(deny_unknown_fields)]
#[oai(example)]
struct PasswordRecovery {
    /// The recovery token
    #[oai(validator(min_length = 1, max_length = 128))]
    token: String,
    /// The new password: any visible characters, spaces and U+0000, at most 512 bytes, prepared by `OpaqueString` of
    /// RFC 8265. The server rejects the most common passwords
    #[oai(validator(min_length = 8, max_length = 128))]
    new_password: String,
}

impl Example for PasswordRecovery {
    fn example() -> Self {
        Self { token: TOKEN.into(), new_password: "staple, but longer".into() }
    }
}

pub(in crate::api) struct Recoveries {
    pub(in crate::api) access: Arc<Access>,
}

#[OpenApi(tag = "Tag::Accounts")]
impl Recoveries {
    /// Recover an account
    ///
    /// Sets a new password with a recovery token, which can be used once, and ends all logins of the account. A token
    /// that is wrong, used, replaced or expired is refused with `invalid_recovery`, and counts like a wrong password
    /// at login.
    #[oai(path = "/accounts/recovery", method = "post", operation_id = "recover_account")]
    async fn recover(&self, from: ClientAddress, body: Body<PasswordRecovery>) -> Result<Done, Proven> {
        let PasswordRecovery { token, new_password } = body.0;
        self.access.recover(&token, new_password, from.0).await?;
        Ok(Done)
    }

    /// Create a recovery token
    ///
    /// Creates a token with which the owner of an account can set a new password without the current one, and
    /// invalidates the previous token. Deliver the token over a channel that you trust: Verbatim sends nothing. The
    /// accounts of programs and deactivated accounts cannot have tokens (404). Nor can an account without a password,
    /// whose user comes from a host application or an external issuer (`no_password`). Needs the scope `users:write`.
    #[oai(path = "/admin/users/:id/recovery", method = "post", operation_id = "issue_recovery")]
    async fn issue(
        &self,
        caller: Caller,
        id: Path<UserId>,
        body: BodyIfAny<RecoveryRequest>,
    ) -> Result<Created<Recovery>, Ruled> {
        let expires_in = body.0.unwrap_or_default().expires_in;
        let life = expires_in.map_or(RECOVERY_DEFAULT, |seconds| Duration::from_secs(seconds.into()));
        let (shortest, longest) = RECOVERY_LIFE;
        if life < shortest || life > longest {
            let detail = format!("must be {} to {} seconds", shortest.as_secs(), longest.as_secs());
            return Err(Problem::invalid("/expires_in", "out_of_range", detail).into());
        }
        let made = self.access.issue_recovery(caller.by(), id.0, life).await?;
        let body = Recovery { user_id: id.0, token: made.token.to_string(), expires_at: made.expires_at };
        Ok(Created { location: "/v1/accounts/recovery".into(), body })
    }
}
