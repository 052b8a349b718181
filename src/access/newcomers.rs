//! The names of an account that is created for the user of an issuer.
//!
//! A name is only copied, and never used to find an account. Otherwise a user of the issuer could choose the name of
//! another account and log in as its owner.

use crate::{
    credentials::{DisplayName, Username},
    domain::UserId,
    issuers::Proven,
};

/// The number of numbered names that are tried after the plain one.
const NUMBERED: u64 = 8;
/// The maximum number of characters before the number.
const MOST_BEFORE: usize = 48;
/// The name of a user whose issuer suggests no suitable name.
const NAMELESS: &str = "user";

/// The name to show, if the issuer suggests a suitable one.
pub(super) fn display_name(proven: &Proven) -> Option<DisplayName> {
    [&proven.display_name, &proven.username]
        .into_iter()
        .flatten()
        .find_map(|suggested| DisplayName::parse(suggested).ok())
}

/// The user names to try: the suggested name, then its suitable part with a number, then `user` with a number. The
/// numbers come from the random bits of the account's id. They consist of digits, which fit every script.
pub(super) fn usernames(proven: &Proven, id: UserId) -> Vec<Username> {
    let suggested = proven.username.as_deref().unwrap_or_default();
    let fit = fit_part(suggested);
    let random = id.uuid().as_u128() as u64;
    let numbered = |base: &str| {
        let number = |n: u64| (random >> (n * 7)) % 1_000_000;
        (0..NUMBERED)
            .filter_map(|n| Username::parse(&format!("{base}-{:06}", number(n))).ok())
            .collect::<Vec<_>>()
    };
    let mut names: Vec<_> = Username::parse(suggested).into_iter().collect();
    names.extend(numbered(&fit));
    names.extend(numbered(NAMELESS));
    names
}

/// The part of a suggested name that a user name may have: only the part before an `@`, and only accepted characters.
fn fit_part(suggested: &str) -> String {
    let name = suggested.split('@').next().unwrap_or_default();
    let accepted = name.chars().filter(|c| c.is_alphanumeric() || ['_', '.', '-'].contains(c));
    let name: String = accepted.take(MOST_BEFORE).collect();
    let name = name.trim_matches(['_', '.', '-']);
    if name.is_empty() { NAMELESS.to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{LoginId, Time},
        issuers::Proven,
    };

    fn proven(username: Option<&str>, display_name: Option<&str>) -> Proven {
        let at: Time = "2026-11-24T12:00:00.250Z".parse().expect("time");
        let login: LoginId = "01930f3c-5a7b-7c3d-9e4f-ba9876543210".parse().expect("id");
        Proven {
            iss: "i".into(),
            subject: "s".into(),
            session: None,
            login,
            issued_at: at,
            expires_at: at,
            username: username.map(str::to_owned),
            display_name: display_name.map(str::to_owned),
            roles: Vec::new(),
        }
    }

    fn names(username: Option<&str>) -> Vec<String> {
        let id = "01930f3c-5a7b-7c3d-9e4f-ba9876543210".parse().expect("id");
        usernames(&proven(username, None), id).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_suggested_name_comes_first_and_then_the_same_with_numbers() {
        let names = names(Some("Ana"));
        assert_eq!(names[0], "ana");
        assert!(names[1].starts_with("ana-") && names[1].len() == "ana-123456".len(), "{names:?}");
        let mut different = names.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), names.len());
    }

    #[test]
    fn an_unfit_name_gives_what_is_fit_of_it() {
        for (suggested, begin) in [
            ("ana.maria@example.com", "ana.maria-"),
            ("admin", "admin-"),
            ("Ana María", "anamaría-"),
            ("владимир!", "владимир-"),
            ("аdmin", "user-"),
            ("@", "user-"),
            ("😀", "user-"),
            ("", "user-"),
            (&*"x".repeat(500), "xxxx"),
        ] {
            let names = names(Some(suggested));
            assert!(names.len() >= 8 && names[0].starts_with(begin), "{suggested}: {names:?}");
        }
        assert!(names(None)[0].starts_with("user-"));
    }

    #[test]
    fn an_unfit_display_name_gives_way_to_the_user_name() {
        let shown = |username, name| display_name(&proven(username, name)).map(|name| name.to_string());
        assert_eq!(shown(Some("ana"), Some("Ana María")).as_deref(), Some("Ana María"));
        assert_eq!(shown(Some("ana"), Some("a\u{202E}b")).as_deref(), Some("ana"));
        assert_eq!(shown(Some("\u{202E}"), Some("a\nb")), None);
    }
}
