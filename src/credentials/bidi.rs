//! The Bidi Rule of RFC 5893: a name with right-to-left letters has the same visual order everywhere.

use icu_properties::props::{BidiClass as Is, EnumeratedProperty as _};

/// Whether a name follows the rule. A name without right-to-left letters or digits always does.
pub(super) fn follows_bidi_rule(name: &str) -> bool {
    let classes = || name.chars().map(Is::for_char);
    let runs_left = |class| matches!(class, Is::RightToLeft | Is::ArabicLetter | Is::ArabicNumber);
    if !classes().any(runs_left) {
        return true;
    }
    // A name that begins with a left-to-right letter or a digit must not have right-to-left letters.
    let begins_well =
        classes().next().is_some_and(|first| matches!(first, Is::RightToLeft | Is::ArabicLetter));
    let last = classes().rfind(|class| *class != Is::NonspacingMark);
    let ends_well = last.is_some_and(|last| runs_left(last) || last == Is::EuropeanNumber);
    let has = |wanted| classes().any(|class| class == wanted);
    let belongs = |class| {
        runs_left(class)
            || matches!(
                class,
                Is::EuropeanNumber
                    | Is::EuropeanSeparator
                    | Is::CommonSeparator
                    | Is::EuropeanTerminator
                    | Is::OtherNeutral
                    | Is::BoundaryNeutral
                    | Is::NonspacingMark
            )
    };
    begins_well && ends_well && classes().all(belongs) && !(has(Is::EuropeanNumber) && has(Is::ArabicNumber))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_runs_in_one_direction() {
        for name in ["ana", "42", "a1", "דוד", "דוד.1", "محمد\u{0661}", "\u{05D0}\u{05B7}", "1_a"] {
            assert!(follows_bidi_rule(name), "{name:?}");
        }
        for name in
            ["1דוד", "aדוד", "דודa", "דוד.", "\u{0661}", "محمد\u{0661}2", "a\u{0661}", "\u{05B7}\u{05D0}"]
        {
            assert!(!follows_bidi_rule(name), "{name:?}");
        }
    }
}
