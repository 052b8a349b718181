//! The accounts of nats-server in operator mode: reading the JWT of an account, and sending the servers a new one. Only
//! an operator does this, as a user of the system account; nodes have no such user.

use std::time::Duration;

use async_nats::Client;
use serde_json::Value;
use tokio::time::timeout;

use crate::log::{
    NatsServers, OpenError,
    connect::{Noted, connect},
    errors::refused,
    streams::maker::Refusals,
};

/// How long servers may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection to the system account.
pub(crate) struct SystemAccount(Client);

impl SystemAccount {
    /// Connects as a user of the system account.
    pub(crate) async fn connect(servers: &NatsServers) -> Result<Self, OpenError> {
        let noted = Noted {
            connections: Default::default(),
            works: tokio::sync::watch::Sender::new(true),
            refusals: Refusals::default(),
        };
        connect(servers, noted).await.map(Self)
    }

    /// The JWT of an account, as the servers have it.
    pub(crate) async fn account(&self, account: &str) -> Result<String, OpenError> {
        let answer = self.ask(format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP"), String::new()).await?;
        if answer.is_empty() {
            return Err(refused(format!("nats-server does not know the account {account}")));
        }
        Ok(answer)
    }

    /// Sends the servers a new JWT of an account. It takes effect at once, and disconnects the users that it revokes.
    pub(crate) async fn tell(&self, token: String) -> Result<(), OpenError> {
        let answer = self.ask("$SYS.REQ.CLAIMS.UPDATE".into(), token).await?;
        let answer: Value = serde_json::from_str(&answer).map_err(refused)?;
        match answer["data"]["code"].as_u64() {
            Some(200) => Ok(()),
            _ => Err(refused(format!("nats-server refused the account: {}", answer["error"]))),
        }
    }

    async fn ask(&self, subject: String, payload: String) -> Result<String, OpenError> {
        let asked = timeout(ANSWER, self.0.request(subject, payload.into())).await;
        let answer = asked
            .map_err(|_| refused("nats-server did not answer a request of the system account"))?
            .map_err(refused)?;
        String::from_utf8(answer.payload.to_vec()).map_err(refused)
    }
}
