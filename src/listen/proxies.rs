//! The peers that are trusted proxies, which may name the client's address.

use std::{net::IpAddr, str::FromStr};

use crate::networks::{BadNetwork, Networks};

/// The trusted proxies, as networks. By default no peer is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Networks);

impl Proxies {
    pub(super) fn contain(&self, address: IpAddr) -> bool {
        self.0.contain(address)
    }
}

impl FromStr for Proxies {
    type Err = BadNetwork;

    fn from_str(list: &str) -> Result<Self, BadNetwork> {
        let everything = "this would let every client claim any address: name the networks of your proxies";
        Networks::parse(list, everything).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_networks_contains_its_addresses() {
        for (list, address, contains) in [
            ("", "127.0.0.1", false),
            (" ", "::1", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.8", false),
            ("10.0.0.0/8, fd00::/8", "fd12::1", true),
            ("10.0.0.0/8,fd00::/8", "fe80::1", false),
            ("192.168.4.0/22", "192.168.7.255", true),
            ("192.168.4.0/22", "192.168.8.0", false),
            ("::1", "::1", true),
            ("::1/128", "::2", false),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("fd00::/8", "10.1.2.3", false),
        ] {
            let proxies: Proxies = list.parse().expect(list);
            assert_eq!(proxies.contain(address.parse().expect(address)), contains, "{address} in `{list}`");
        }
    }

    #[test]
    fn a_network_that_is_none_is_refused_with_what_to_write() {
        for (wrong, instead) in [
            ("10.0.0.1/8", "write `10.0.0.0/8`"),
            ("fd00::1/8", "write `fd00::/8`"),
            ("10.0.0.0/33", "at most 32"),
            ("fd00::/129", "at most 128"),
            ("0.0.0.0/0", "claim any address"),
            ("::/0", "claim any address"),
            ("10.0.0.0/", "write an address"),
            ("10.0.0.0/+8", "write an address"),
            ("10.0.0.0/255.0.0.0", "write an address"),
            ("10.0.0/8", "write an address"),
            ("proxy.internal", "write an address"),
            ("*", "write an address"),
            ("10.0.0.7:443", "write an address"),
            ("10.0.0.0/8,", "write an address"),
        ] {
            let refused = wrong.parse::<Proxies>().expect_err(wrong).to_string();
            assert!(refused.contains(instead), "{wrong}: {refused}");
        }
    }
}
