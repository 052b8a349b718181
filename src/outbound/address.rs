//! Which addresses belong to the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is global unicast: not an address of this machine or of a private or local network, and not
/// reserved for documentation, benchmarks or multicast. An IPv6 address that embeds an IPv4 address is also judged by
/// that address, because a gateway would connect to it.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => is_public_v4(four),
        IpAddr::V6(six) => is_public_v6(six),
    }
}

/// The networks of IPv4 that are not public (the registry of RFC 6890), as first address and length.
const LOCAL_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !LOCAL_V4.iter().any(|&(first, length)| {
        let mask = u32::MAX << (32 - length);
        bits & mask == u32::from_be_bytes(first)
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let four = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b) {
        // An IPv4-mapped address, and an IPv4 address behind a NAT64 gateway.
        (0, 0) if [c, d, e, f] == [0, 0, 0, 0xffff] => is_public_v4(four(g, h)),
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => is_public_v4(four(g, h)),
        // 6to4, and Teredo with the address of its server and the inverted address of its client.
        (0x2002, _) => is_public_v4(four(b, c)),
        (0x2001, 0) => is_public_v4(four(c, d)) && is_public_v4(four(!g, !h)),
        // Addresses for protocols and for documentation.
        (0x2001, 0x0001..0x0200 | 0x0db8) | (0x3fff, 0..0x1000) => false,
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: [&str; 21] = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:81b::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "2001:0:808:808:0:0:f7f7:f7f7",
    ];

    const LOCAL: [&str; 60] = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.255",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::2",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:0.0.0.0",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:192.168.1.1",
        "::ffff:0:8.8.8.8",
        "64:ff9b::a00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::808:808",
        "100::1",
        "2001:0:a00:1:0:0:f7f7:f7f7",
        "2001:0:808:808:0:0:80ff:fffe",
        "2001:1::1",
        "2001:2::1",
        "2001:20::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::1",
        "3fff::1",
        "3fff:fff:ffff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fdff:ffff::1",
        "fe80::1",
        "ff02::1",
    ];

    #[test]
    fn only_addresses_of_the_whole_internet_are_public() {
        for (list, expected) in [(&PUBLIC[..], true), (&LOCAL[..], false)] {
            for text in list {
                assert_eq!(is_public(text.parse().expect(text)), expected, "{text}");
            }
        }
    }
}
