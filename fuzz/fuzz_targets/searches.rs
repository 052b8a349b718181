//! The parser of search queries: a query becomes a `tsquery` that Postgres accepts, and its hits are in the text as
//! typed.
//!
//! The first line is the query, the rest the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use verbatim_fuzz::views::{SearchQuery, tsquery};

fuzz_target!(|input: &str| {
    let (query, text) = input.split_once('\n').unwrap_or((input, ""));
    let Some(query) = SearchQuery::parse(query) else { return };
    assert!(!tsquery(&query).is_empty() && !tsquery(&query).contains('\0'));
    let shown: String = query.highlight(text).into_iter().map(|piece| piece.text).collect();
    assert!(text.contains(&shown), "a piece is cut out of the text and not changed");
    assert!(shown.chars().count() <= 200);
});
