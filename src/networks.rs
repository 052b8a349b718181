//! Networks in CIDR, and lists of them as operators write them in settings.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// Networks, as in `10.0.0.0/8,fd00::/8`. An empty list contains no address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// Parses a comma-separated list. A network of all addresses is refused, with `everything` as the hint in the
    /// error.
    pub(crate) fn parse(list: &str, everything: &str) -> Result<Self, BadNetwork> {
        match list.trim() {
            "" => Ok(Self::default()),
            list => list
                .split(',')
                .map(|text| match read(text.trim())? {
                    (_, 0) => {
                        Err(BadNetwork { network: text.trim().to_owned(), instead: everything.to_owned() })
                    }
                    (network, _) => Ok(network),
                })
                .collect::<Result<_, _>>()
                .map(Self),
        }
    }

    /// All networks, for servers that only the operator can name.
    pub(crate) fn all() -> Self {
        Self(vec![Network { first: 0, bits: 0 }])
    }

    /// Whether an address is in one of the networks.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<String> = self.0.iter().map(Network::to_string).collect();
        f.write_str(&networks.join(","))
    }
}

/// The number of bits before an IPv4 address that is mapped to IPv6.
const MAPPED: u32 = 96;

/// All addresses that begin with the same bits, as IPv6 addresses (IPv4 addresses are mapped).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    first: u128,
    bits: u32,
}

impl Network {
    /// Parses an address, or a network like `10.0.0.0/8` without bits after its prefix.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        read(text).ok().map(|(network, _)| network)
    }

    /// Whether an address is in the network.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        bits(address) & mask(self.bits) == self.first
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let six = Ipv6Addr::from_bits(self.first);
        match six.to_ipv4_mapped().filter(|_| self.bits >= MAPPED) {
            Some(four) => write!(f, "{four}/{}", self.bits - MAPPED),
            None => write!(f, "{six}/{}", self.bits),
        }
    }
}

fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().to_bits(),
        IpAddr::V6(six) => six.to_bits(),
    }
}

/// A text that is not a network, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{network}` is not a network: {instead}")]
pub struct BadNetwork {
    network: String,
    instead: String,
}

/// The network, and the length of its prefix as it is written.
fn read(text: &str) -> Result<(Network, u32), BadNetwork> {
    let bad = |instead: String| BadNetwork { network: text.to_owned(), instead };
    let form =
        || bad("write an address like `10.0.0.7`, or a network like `10.0.0.0/8` or `fd00::/8`".into());
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| form())?;
    let (before, longest) = if address.is_ipv4() { (MAPPED, 32) } else { (0, 128) };
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
    let network = Network { first: bits(address) & mask(before + length), bits: before + length };
    match network.first == bits(address) {
        true => Ok((network, length)),
        false => Err(bad(format!("write `{network}`, or the address alone"))),
    }
}
