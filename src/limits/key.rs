//! The owner of a budget as a few bytes. The key is hashed with a secret that all nodes of an installation
//! share and strangers do not have, so nobody can choose names that share a budget.

use std::net::IpAddr;

use aws_lc_rs::{digest, hmac};

use super::{policy::Policy, siphash::siphash};
use crate::domain::{ConversationId, HoldId, LoginId, UserId};

/// The most bytes of a key: its policy and two ids.
const MOST: usize = 33;

/// The owner of a budget, within a policy.
#[derive(Debug, Clone, Copy)]
pub struct BudgetKey {
    bytes: [u8; MOST],
    length: usize,
}

impl BudgetKey {
    fn of(parts: [&[u8]; 2]) -> Self {
        let mut key = Self { bytes: [0; MOST], length: 1 };
        for part in parts {
            key.bytes[key.length..key.length + part.len()].copy_from_slice(part);
            key.length += part.len();
        }
        key
    }

    /// The budget of an IPv4 address, or of the /56 of an IPv6 address, the usual prefix of one household.
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of([&address.octets(), &[]]),
            IpAddr::V6(address) => Self::of([&address.octets()[..7], &[]]),
        }
    }

    /// The budget of the /24 of an IPv4 address, or of the /48 of an IPv6 address, the usual prefix of one
    /// organisation.
    pub fn address_group(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of([&address.octets()[..3], &[]]),
            IpAddr::V6(address) => Self::of([&address.octets()[..6], &[]]),
        }
    }

    /// The budget of a user name as typed. No account of that name needs to exist.
    pub fn name(name: &str) -> Self {
        Self::digest(&[name.as_bytes()])
    }

    /// The budget of a user name as typed from one group of addresses.
    pub fn name_from(name: &str, address: IpAddr) -> Self {
        let Self { bytes, length } = Self::address_group(address);
        // No name begins with NUL, so no name alone has this digest.
        Self::digest(&[&[0, length as u8], &bytes[..length], name.as_bytes()])
    }

    /// The budget of a user who has no account yet, by a number that identifies the user.
    pub fn holder(number: u128) -> Self {
        Self::of([&number.to_be_bytes(), &[]])
    }

    fn digest(parts: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        parts.iter().for_each(|part| context.update(part));
        Self::of([context.finish().as_ref(), &[]])
    }

    /// The budget of an account within one conversation.
    pub fn member(user: UserId, conversation: ConversationId) -> Self {
        Self::of([user.uuid().as_bytes(), conversation.uuid().as_bytes()])
    }
}

/// The budget of an account for one kind of data that it exports: its own, or that of a legal hold.
impl From<(UserId, Option<HoldId>)> for BudgetKey {
    fn from((user, hold): (UserId, Option<HoldId>)) -> Self {
        let hold = hold.map(HoldId::uuid);
        Self::of([user.uuid().as_bytes(), hold.as_ref().map_or(&[], |hold| hold.as_bytes())])
    }
}

impl From<UserId> for BudgetKey {
    fn from(user: UserId) -> Self {
        Self::of([user.uuid().as_bytes(), &[]])
    }
}

impl From<LoginId> for BudgetKey {
    fn from(login: LoginId) -> Self {
        Self::of([login.uuid().as_bytes(), &[]])
    }
}

impl From<ConversationId> for BudgetKey {
    fn from(conversation: ConversationId) -> Self {
        Self::of([conversation.uuid().as_bytes(), &[]])
    }
}

/// The secret key of the hashes.
#[derive(Clone, Copy)]
pub(super) struct Secret(u64, u64);

impl Secret {
    /// Derives the secret from one that all nodes share.
    pub(super) fn derived(shared: &[u8; 32]) -> Self {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, shared), b"verbatim.limits");
        let word = |at: usize| {
            let bytes = tag.as_ref()[at..at + 8].try_into().expect("a tag has 32 bytes");
            u64::from_le_bytes(bytes)
        };
        Self(word(0), word(8))
    }

    /// The hash of a key within a policy. It is never 0, the mark of an empty place in the map.
    pub(super) fn hash(self, policy: Policy, mut key: BudgetKey) -> u64 {
        key.bytes[0] = policy.number();
        siphash((self.0, self.1), &key.bytes[..key.length]).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: BudgetKey) -> u64 {
        Secret::derived(&[7; 32]).hash(Policy::User, key)
    }

    fn address(text: &str) -> u64 {
        hash(BudgetKey::address(text.parse().expect("an address")))
    }

    #[test]
    fn a_household_of_ipv6_is_one_key() {
        let first = address("2001:db8:1:ff00::1");
        for host in 0..1_000_000_u128 {
            // All bits below the /56 differ, in the network part and in the host part.
            let spread = host.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 56;
            let ip: std::net::Ipv6Addr = (0x2001_0db8_0001_ff00_u128 << 64 | spread).into();
            assert_eq!(hash(BudgetKey::address(ip.into())), first, "{ip}");
        }
        assert_ne!(address("2001:db8:1:fe00::1"), first);
        assert_ne!(address("2001:db8:1:100::1"), first);
    }

    #[test]
    fn addresses_of_ipv4_are_keys_of_their_own() {
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(address("192.0.2.1"), address("::ffff:192.0.2.1"), "one address, written in two ways");
    }

    #[test]
    fn a_group_of_addresses_is_one_key() {
        let group = |text: &str| hash(BudgetKey::address_group(text.parse().expect("an address")));
        assert_eq!(group("192.0.2.1"), group("192.0.2.254"));
        assert_eq!(group("192.0.2.1"), group("::ffff:192.0.2.7"), "one address, written in two ways");
        assert_ne!(group("192.0.2.1"), group("192.0.3.1"));
        assert_eq!(group("2001:db8:1:ff00::1"), group("2001:db8:1:1::"));
        assert_ne!(group("2001:db8:1::1"), group("2001:db8:2::1"));
    }

    #[test]
    fn a_name_is_a_key_of_its_own_in_each_group_of_addresses() {
        let ip = |text: &str| text.parse().expect("an address");
        let from = |name, text| hash(BudgetKey::name_from(name, ip(text)));
        assert_eq!(from("ana", "192.0.2.1"), from("ana", "192.0.2.2"));
        assert_ne!(from("ana", "192.0.2.1"), from("ana", "192.0.3.1"));
        assert_ne!(from("ana", "192.0.2.1"), from("ben", "192.0.2.1"));
        assert_ne!(from("ana", "192.0.2.1"), hash(BudgetKey::name("ana")));
        assert_ne!(hash(BudgetKey::name("ana")), hash(BudgetKey::name("ben")));
    }

    #[test]
    fn another_secret_makes_other_hashes() {
        let key = BudgetKey::from("01930f3c-5a7b-7c3d-8e4f-0123456789ab".parse::<UserId>().expect("id"));
        let of = |secret| Secret::derived(&[secret; 32]).hash(Policy::User, key);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
