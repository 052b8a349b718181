//! Texts with placeholders for values of a running world, as in the tables of cases.

use std::collections::HashMap;

/// The values of `${name}`. `${text*300}` is the text 300 times, and `${hex 00ff}` are bytes.
#[derive(Clone, Default)]
pub struct Template(HashMap<String, String>);

impl Template {
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    pub fn fill(&self, text: &str) -> String {
        String::from_utf8(self.fill_bytes(text)).expect("a text without `hex`")
    }

    pub fn fill_bytes(&self, text: &str) -> Vec<u8> {
        let mut filled = Vec::new();
        let mut rest = text;
        while let Some((before, place)) = rest.split_once("${") {
            filled.extend_from_slice(before.as_bytes());
            let (place, after) = place.split_once('}').expect("a place ends");
            filled.extend(self.value(place));
            rest = after;
        }
        filled.extend_from_slice(rest.as_bytes());
        filled
    }

    fn value(&self, place: &str) -> Vec<u8> {
        if let Some(digits) = place.strip_prefix("hex ") {
            let digits: Vec<u32> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
            return digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
        }
        if let Some((text, times)) = place.rsplit_once('*') {
            return text.repeat(times.parse().expect("a number")).into_bytes();
        }
        self.0.get(place).unwrap_or_else(|| panic!("there is no ${{{place}}}")).clone().into_bytes()
    }
}
