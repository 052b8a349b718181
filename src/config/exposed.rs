//! Settings that suit a test but not a server that the public can reach. None is refused, because a network may be private
//! and a proxy may do what the node does not.

use crate::{
    config::Settings,
    listen::{Origins, Proxies},
};

/// Whether the pages that may use the server are named.
pub(crate) fn named_origins(settings: &Settings) -> Result<String, String> {
    match &settings.origins {
        Origins::Any => {
            Err("`*` lets every web page use this server: name the origins of your pages in VERBATIM_ORIGINS"
                .into())
        }
        Origins::Only { named, .. } => Ok(named.join(", ")),
    }
}

/// Whether passwords and tokens cross the network only encrypted, as far as a node can know.
pub(crate) fn encrypted(settings: &Settings) -> Result<String, String> {
    let listen = settings.listen.ip();
    if settings.has_tls() {
        Ok("the public listener speaks TLS".into())
    } else if listen.is_loopback() || settings.trusted_proxies != Proxies::default() {
        Ok("left to a proxy".into())
    } else {
        Err(format!(
            "the public listener speaks HTTP without TLS on {listen}, and no proxy is named: set VERBATIM_TLS_CERT_FILE and \
             VERBATIM_TLS_KEY_FILE, or name the proxy in VERBATIM_TRUSTED_PROXIES"
        ))
    }
}

/// Whether password hashes cost an attacker enough.
pub(crate) fn costly_hashes(settings: &Settings) -> Result<String, String> {
    match settings.cost_of_hashes() {
        cost if cost.is_enough() => Ok(cost.to_string()),
        cost => Err(format!(
            "{cost} is less than OWASP recommends, so stolen hashes are cheap to guess: remove VERBATIM_ARGON2_MEMORY and \
             VERBATIM_ARGON2_PASSES"
        )),
    }
}
