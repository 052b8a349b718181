//! The types of texts that people and programs send: an accepted text is within its limit, and is accepted again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use verbatim_fuzz::{
    credentials::{DeviceName, DisplayName, Password, Username},
    domain::{ClientId, ConversationId, Emoji, Json, Metadata, Text, Time, Title},
};

fuzz_target!(|typed: &str| {
    if let Ok(text) = Text::try_from(typed.to_owned()) {
        assert_eq!(text.as_str(), typed, "a text is kept as typed");
    }
    if let Ok(title) = Title::try_from(typed.to_owned()) {
        assert!(Title::try_from(title.as_str().to_owned()).is_ok_and(|again| again == title));
    }
    if let Ok(key) = ClientId::try_from(typed.to_owned()) {
        assert!(key.as_str().is_ascii() && key.as_str() == typed);
    }
    if let Ok(emoji) = Emoji::try_from(typed.to_owned()) {
        assert!(emoji.as_str().len() <= 64);
        assert!(Emoji::try_from(emoji.as_str().to_owned()).is_ok_and(|again| again == emoji));
    }
    if let Ok(metadata) = typed.parse::<Json>().map_err(drop).and_then(|j| Metadata::try_from(j).map_err(drop)) {
        let again = metadata.json().as_str().parse::<Json>().expect("metadata are JSON");
        assert!(Metadata::try_from(again).is_ok_and(|again| again == metadata));
    }
    if let Ok(id) = typed.parse::<ConversationId>() {
        assert!(id.to_string().eq_ignore_ascii_case(typed));
    }
    if let Ok(time) = typed.parse::<Time>() {
        assert!(time.to_string().parse::<Time>().is_ok_and(|again| again == time));
    }
    if let Ok(name) = DisplayName::parse(typed) {
        assert!(DisplayName::parse(name.as_str()).is_ok_and(|again| again == name));
    }
    if let Ok(name) = DeviceName::parse(typed) {
        assert!(name.as_str().chars().count() <= DeviceName::LIMIT);
    }
    if let Ok(name) = Username::parse(typed) {
        let again = Username::parse(name.as_str()).expect("a name that was taken is taken again");
        assert!(again == name && again.key() == name.key());
        let _ = Password::choose(typed.to_owned(), &name);
    }
    let _ = Password::present(typed.to_owned());
});
