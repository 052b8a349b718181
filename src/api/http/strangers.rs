//! The budget of an address, which pays for the requests that carry no valid token.

use crate::{
    limits::{BudgetKey, Exceeded, Policy, RateLimits, noted},
    listen::ClientAddress,
};

/// Charges a request to the budget of its address, unless that has been done before.
pub(in crate::api) fn charge(limits: &RateLimits, from: Option<ClientAddress>) -> Result<(), Exceeded> {
    match from.filter(|_| !noted::has(Policy::Address)) {
        Some(ClientAddress(address)) => limits.admit(Policy::Address, BudgetKey::address(address)),
        None => Ok(()),
    }
}
