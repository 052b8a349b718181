//! Settings that belong together.

use crate::config::BadSetting;

/// Two settings, each with its name, of which both are set or none.
pub(super) fn pair<A, B>(
    (one, its_name): (Option<A>, &str),
    (other, other_name): (Option<B>, &str),
) -> Result<Option<(A, B)>, BadSetting> {
    let half = |set, unset| BadSetting(format!("{set} is set, but {unset} is not: set both"));
    match (one, other) {
        (Some(one), Some(other)) => Ok(Some((one, other))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(half(its_name, other_name)),
        (None, Some(_)) => Err(half(other_name, its_name)),
    }
}
