//! The peers that are trusted proxies: their word about the client's address counts.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// The trusted proxies, as networks. By default no peer is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

impl Proxies {
    pub(super) fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// All addresses that begin with the same bits, as IPv6 addresses (IPv4 addresses are mapped).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    first: u128,
    mask: u128,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.first
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().to_bits(),
        IpAddr::V6(six) => six.to_bits(),
    }
}

/// A network that cannot be trusted, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{network}` is no network of proxies: {instead}")]
pub struct BadNetwork {
    network: String,
    instead: String,
}

impl FromStr for Proxies {
    type Err = BadNetwork;

    fn from_str(list: &str) -> Result<Self, BadNetwork> {
        match list.trim() {
            "" => Ok(Self::default()),
            list => list.split(',').map(|text| network(text.trim())).collect::<Result<_, _>>().map(Self),
        }
    }
}

fn network(text: &str) -> Result<Network, BadNetwork> {
    let bad = |instead: String| BadNetwork { network: text.to_owned(), instead };
    let form =
        || bad("write an address like `10.0.0.7`, or a network like `10.0.0.0/8` or `fd00::/8`".into());
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| form())?;
    let (longest, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
    let length: u32 = match length {
        None => longest,
        Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map_err(|_| form())?
        }
        Some(_) => return Err(form()),
    };
    if length > longest {
        return Err(bad(format!("the length of the prefix is at most {longest}")));
    }
    if length == 0 {
        return Err(bad(
            "everybody could then claim any address, so name the networks of your proxies".into()
        ));
    }
    let mask = u128::MAX << (128 - before - length);
    let first = bits(address) & mask;
    if first != bits(address) {
        let six = Ipv6Addr::from_bits(first);
        let first = six.to_ipv4_mapped().filter(|_| address.is_ipv4()).map_or(IpAddr::V6(six), IpAddr::V4);
        return Err(bad(format!("write `{first}/{length}`, or the address alone")));
    }
    Ok(Network { first, mask })
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
