//! The networks from which an API key may be used.

use std::net::{IpAddr, Ipv6Addr};

/// KeyNetworks in CIDR; none means all addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyNetworks(Vec<Network>);

/// All addresses with the same first bits, as IPv6 addresses: an IPv4 address is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    first: u128,
    bits: u32,
}

/// The number of bits before an IPv4 address that is mapped.
const MAPPED: u32 = 96;

impl Network {
    /// Parses an address, or a network like `10.0.0.0/8` without bits behind its prefix.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (before, longest) = if address.is_ipv4() { (MAPPED, 32) } else { (0, 128) };
        let length = match length {
            None => longest,
            Some(length) => {
                length.bytes().all(|byte| byte.is_ascii_digit()).then(|| length.parse::<u32>().ok())??
            }
        };
        let network = Self { first: bits(address), bits: before + length };
        (length <= longest && network.first & !network.mask() == 0).then_some(network)
    }

    fn mask(self) -> u128 {
        u128::MAX.checked_shl(128 - self.bits).unwrap_or(0)
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let six = Ipv6Addr::from_bits(self.first);
        match six.to_ipv4_mapped().filter(|_| self.bits >= MAPPED) {
            Some(four) => write!(f, "{four}/{}", self.bits - MAPPED),
            None => write!(f, "{six}/{}", self.bits),
        }
    }
}

impl KeyNetworks {
    /// Whether an address may use the key. An address that is not known may not, if there are networks.
    pub(crate) fn let_in(&self, from: Option<IpAddr>) -> bool {
        self.0.is_empty()
            || from.is_some_and(|from| self.0.iter().any(|one| bits(from) & one.mask() == one.first))
    }
}

impl FromIterator<Network> for KeyNetworks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().to_bits(),
        IpAddr::V6(six) => six.to_bits(),
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
