//! The networks from which an API key may be used.

use std::net::IpAddr;

use crate::networks::Network;

/// Networks in CIDR notation; an empty list means all addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyNetworks(Vec<Network>);

impl KeyNetworks {
    /// Whether an address may use the key. If there are networks, an unknown address may not.
    pub(crate) fn let_in(&self, from: Option<IpAddr>) -> bool {
        self.0.is_empty() || from.is_some_and(|from| self.0.iter().any(|one| one.contains(from)))
    }
}

impl FromIterator<Network> for KeyNetworks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_lets_in_its_addresses_only() {
        for (network, address, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ] {
            let networks: KeyNetworks = Network::parse(network).into_iter().collect();
            assert_eq!(networks.let_in(address.parse().ok()), is_in, "{address} in {network}");
            assert!(!networks.let_in(None));
        }
        assert!(KeyNetworks::default().let_in(None));
    }

    #[test]
    fn a_text_that_is_no_network_is_refused_and_others_are_written_back() {
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/64",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "host",
            "10.0.0/8",
            "::/129",
        ] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
        for (text, written) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.7", "10.0.0.7/32"),
            ("fd00::/8", "fd00::/8"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(Network::parse(text).map(|network| network.to_string()).as_deref(), Some(written));
        }
    }
}
