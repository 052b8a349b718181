//! Lists of networks, as operators write them in settings.

use std::net::{IpAddr, Ipv6Addr};

/// Networks, as in `10.0.0.0/8,fd00::/8`. An empty list contains no address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// Reads a list with commas. A network of all addresses is refused, with `everything` as what to write instead.
    pub(crate) fn parse(list: &str, everything: &str) -> Result<Self, BadNetwork> {
        match list.trim() {
            "" => Ok(Self::default()),
            list => list
                .split(',')
                .map(|text| network(text.trim(), everything))
                .collect::<Result<_, _>>()
                .map(Self),
        }
    }

    /// Whether an address is in one of the networks.
    pub fn contain(&self, address: IpAddr) -> bool {
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

/// A text that is no network, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{network}` is no network: {instead}")]
pub struct BadNetwork {
    network: String,
    instead: String,
}

fn network(text: &str, everything: &str) -> Result<Network, BadNetwork> {
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
        return Err(bad(everything.to_owned()));
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
