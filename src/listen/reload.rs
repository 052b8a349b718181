//! Reloads a certificate without a restart: on SIGHUP, and when the content of its files changes.

use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use crate::{
    clock::Clock,
    listen::certificate::{BadCertificate, Certificate, Content, Pair},
    telemetry::METRICS,
};

/// How often the files are checked. Their content is compared, because Kubernetes swaps links and leaves the timestamps
/// unchanged.
const EVERY: Duration = Duration::from_secs(5);

/// Why the current certificate stays in use.
#[derive(Debug, thiserror::Error)]
enum Kept {
    #[error(transparent)]
    Bad(#[from] BadCertificate),
    #[error("the new certificate expired at {0}")]
    Expired(time::OffsetDateTime),
}

/// Reloads `certificate` whenever its files change. An invalid pair of files changes nothing.
pub async fn keep_current(certificate: Arc<Certificate>, clock: Clock) {
    let mut hangups = signal(SignalKind::hangup()).ok();
    let mut judged = certificate.content().as_ref().map(Content::digest).map_err(Clone::clone);
    // The two files are not replaced atomically, so a bad pair is logged only if it is still there at the next check.
    // After a SIGHUP it is logged at once.
    let mut is_new = false;
    let mut has_expired = false;
    tell(&certificate, &clock, &mut has_expired);
    loop {
        let is_told = select! {
            () = sleep(EVERY) => false,
            () = next(&mut hangups) => true,
        };
        let content = certificate.content();
        let seen = content.as_ref().map(Content::digest).map_err(Clone::clone);
        let is_other = seen != judged;
        if is_other || is_told || is_new {
            let found = content.map_err(Kept::from).and_then(|content| {
                let pair = certificate.pair(&content)?;
                if pair.until <= clock.now().datetime() { Err(Kept::Expired(pair.until)) } else { Ok(pair) }
            });
            is_new = is_other && !is_told && found.is_err();
            judged = seen;
            match found {
                Ok(pair) => take(&certificate, pair),
                Err(_) if is_new => {}
                Err(why) => {
                    tracing::warn!(error = %why, "could not reload the TLS certificate; the old one stays in use");
                }
            }
        }
        tell(&certificate, &clock, &mut has_expired);
    }
}

fn take(certificate: &Certificate, pair: Pair) {
    tracing::info!(until = %pair.until, "reloaded the TLS certificate");
    certificate.replace(pair);
}

async fn next(hangups: &mut Option<Signal>) {
    let told = match hangups {
        Some(hangups) => hangups.recv().await,
        None => None,
    };
    if told.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Reports the time until the certificate expires, and warns once after it has expired. A node does not refuse to start
/// with an expired certificate, because it would then be down even for clients that do not check the date.
fn tell(certificate: &Certificate, clock: &Clock, has_expired: &mut bool) {
    let now = clock.now().datetime();
    let expired = certificate.expired(now);
    if let Some(until) = expired
        && !*has_expired
    {
        tracing::warn!(%until, "the TLS certificate has expired, so clients reject it; replace its files");
    }
    *has_expired = expired.is_some();
    let left = certificate.until() - now;
    METRICS.certificate_expiry.get_or_create(&[("listener", "public")]).set(left.whole_seconds());
}
