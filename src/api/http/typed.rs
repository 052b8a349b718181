//! Turns the errors of typed names and passwords into problems that point at the field.

use crate::{
    credentials::{BadAvatarUrl, BadName, BadPassword, BadUsername},
    problems::Problem,
};

/// An error of a typed value. Its text is a sentence for people, and this trait adds a code for programs.
pub(in crate::api) trait Wrong: std::error::Error {
    fn code(&self) -> &'static str;
}

/// The value of the field at `pointer`, or a problem that points at the field.
pub(in crate::api) fn at<T>(pointer: &str, typed: Result<T, impl Wrong>) -> Result<T, Problem> {
    typed.map_err(|wrong| Problem::invalid(pointer, wrong.code(), wrong.to_string()))
}

impl Wrong for BadUsername {
    fn code(&self) -> &'static str {
        match self {
            Self::Length => "bad_length",
            Self::Character(_) => "forbidden_character",
            Self::Edge => "bad_edge",
            Self::MixedScripts => "mixed_scripts",
            Self::MixedDirections => "mixed_directions",
            Self::PiledMarks => "piled_marks",
            Self::Reserved => "reserved",
        }
    }
}

impl Wrong for BadName {
    fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty_text",
            Self::TooLong { .. } => "too_long",
            Self::Character(_) => "forbidden_character",
            Self::Edge => "bad_edge",
            Self::PiledMarks => "piled_marks",
        }
    }
}

impl Wrong for BadAvatarUrl {
    fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::NotHttps => "not_https",
            Self::Userinfo => "userinfo",
            Self::Host => "bad_host",
            Self::Character(_) => "forbidden_character",
        }
    }
}

impl Wrong for BadPassword {
    fn code(&self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::Character(_) => "forbidden_character",
            Self::Common => "too_common",
            Self::Guessable => "too_guessable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::{Password, Username};

    #[test]
    fn a_wrong_field_is_pointed_at_without_what_was_typed() {
        let username = Username::parse("ana").expect("name");
        for (problem, pointer, code) in [
            (at("/username", Username::parse("admin")).err(), "/username", "reserved"),
            (at("/username", Username::parse("a\u{200b}b")).err(), "/username", "forbidden_character"),
            (at("/password", Password::choose("secret".into(), &username)).err(), "/password", "too_short"),
            (
                at("/new_password", Password::choose("verbatim1".into(), &username)).err(),
                "/new_password",
                "too_guessable",
            ),
        ] {
            let problem = problem.expect("refused");
            assert_eq!((problem.status.as_u16(), problem.code), (400, "invalid_body"));
            assert_eq!((&*problem.errors[0].pointer, &*problem.errors[0].code), (pointer, code));
            assert!(!problem.errors[0].detail.contains("secret"));
        }
    }
}
