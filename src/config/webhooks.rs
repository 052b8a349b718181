//! Webhooks: the key that encrypts their secrets, the networks they may be in, and the retries.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use crate::{
    clock::Clock,
    config::{BadSetting, secret::secret},
    credentials::MasterKey,
    domain::RetentionRules,
    log::PublicUrl,
    networks::{BadNetwork, Networks},
    outbound::{Outbound, Schemes, Trust},
    webhooks::{Sender, SendingPace},
};

const KEY: &str = "VERBATIM_MASTER_KEY_FILE";
const ALLOW_HTTP: &str = "VERBATIM_WEBHOOK_ALLOW_HTTP";
const ALLOW: &str = "VERBATIM_WEBHOOK_ALLOW";
/// The maximum number of idle connections to one receiver.
const IDLE: usize = 16;
/// The maximum number of retries of an event.
const RETRIES: usize = 30;
/// The longest wait, in seconds: 30 days.
const LONGEST: u64 = 2_592_000;

/// The settings of webhooks.
#[derive(Debug, Clone, Args)]
pub(super) struct WebhookSettings {
    /// File with the key that encrypts the secrets of webhooks in the database: 32 random bytes in base64, as printed
    /// by `openssl rand -base64 32`. [default: none; webhooks cannot be added, and get no events]
    #[arg(long, env = KEY, value_name = "FILE")]
    master_key_file: Option<PathBuf>,

    #[arg(skip)]
    master_key: Option<String>,

    /// Allows webhook URLs with http, without TLS.
    #[arg(long, env = ALLOW_HTTP)]
    webhook_allow_http: bool,

    /// Private networks to which events may be sent: a comma-separated list, as in `10.1.0.0/16`. [default: none; only
    /// public addresses]
    #[arg(
        long,
        env = ALLOW,
        default_value = "",
        hide_default_value = true,
        value_name = "NETWORKS",
        value_parser = allowed
    )]
    webhook_allow: Networks,

    /// Waits before the retries of an event, with a jitter of up to a tenth; after the last one, the event is parked.
    /// Each is a number with ms, s, m, h or d.
    #[arg(
        long,
        env = "VERBATIM_WEBHOOK_RETRIES",
        default_value = "5s,1m,5m,30m,2h,5h,10h,14h,20h,24h",
        value_name = "TIMES",
        value_parser = retries
    )]
    webhook_retries: Retries,

    /// Time after which a webhook is disabled if all its deliveries fail, and at least ten of them: a number with ms,
    /// s, m, h or d.
    #[arg(long, env = "VERBATIM_WEBHOOK_DISABLE_AFTER", default_value = "3d", value_name = "TIME", value_parser = span)]
    webhook_disable_after: Duration,
}

/// A list that clap takes as one value.
#[derive(Debug, Clone)]
struct Retries(Vec<Duration>);

fn allowed(list: &str) -> Result<Networks, BadNetwork> {
    Networks::parse(list, "this would allow every address: name the networks of your receivers")
}

fn retries(list: &str) -> Result<Retries, String> {
    let waits: Vec<Duration> = list.split(',').map(|text| span(text.trim())).collect::<Result<_, _>>()?;
    match waits.len() {
        1..=RETRIES => Ok(Retries(waits)),
        _ => Err(format!("expected 1 to {RETRIES} times")),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("expected a number with ms, s, m, h or d, as in 5m, up to 30d, and not `{text}`");
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(expected)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    let span = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => None,
    };
    span.filter(|span| !span.is_zero() && span.as_secs() <= LONGEST).ok_or_else(expected)
}

impl WebhookSettings {
    /// Uses this key, unless a file is set.
    pub(super) fn default_key(&mut self, key: String) {
        self.master_key = Some(key);
    }

    /// The settings that decide which webhooks can be used, as names and values, if they differ from the defaults.
    pub(super) fn given(&self) -> Vec<(&'static str, String)> {
        let file = self.master_key_file.as_ref().map(|file| {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            (KEY, file.display().to_string())
        });
        let http = self.webhook_allow_http.then(|| (ALLOW_HTTP, "true".to_owned()));
        let networks = self.webhook_allow.to_string();
        let networks = (!networks.is_empty()).then_some((ALLOW, networks));
        [file, http, networks].into_iter().flatten().collect()
    }

    /// The sender that all deliveries share.
    pub(super) fn sender(
        &self,
        trust: &Trust,
        clock: &Clock,
        public_url: Option<PublicUrl>,
        retention: RetentionRules,
    ) -> Result<Sender, BadSetting> {
        let from_file = self.master_key_file.as_ref().map(|file| secret(file, KEY)).transpose()?;
        let text = from_file.or_else(|| self.master_key.clone());
        let bad = |bad| BadSetting(format!("{KEY}: {bad}"));
        let master = text.map(|text| MasterKey::parse(&text)).transpose().map_err(bad)?;
        let schemes = if self.webhook_allow_http { Schemes::HttpToo } else { Schemes::Https };
        Ok(Sender {
            outbound: Outbound::with(trust, self.webhook_allow.clone(), schemes, IDLE),
            schemes,
            clock: clock.clone(),
            master: master.map(Arc::new),
            public_url: public_url.map(Arc::new),
            pace: Arc::new(SendingPace {
                retries: self.webhook_retries.0.clone(),
                disable_after: self.webhook_disable_after,
            }),
            retention,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_with_their_units() {
        let waits = retries("50ms, 5s,1m,2h,3d").expect("waits").0;
        assert_eq!(
            waits.iter().map(Duration::as_millis).collect::<Vec<_>>(),
            [50, 5_000, 60_000, 7_200_000, 259_200_000]
        );
        for text in ["", "5", "s", "5 s", "-5s", "0s", "5s,", "31d", "5w", "99999999999999999999d"] {
            assert!(retries(text).is_err(), "{text}");
        }
    }
}
