//! The parser of a client's frames: a frame is parsed, or refused with a short reason and an id that may be echoed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use verbatim_fuzz::gateway::frames::client::{ClientFrame, MAX_ID};

fuzz_target!(|text: &str| {
    if let Err(bad) = ClientFrame::read(text) {
        assert!(!bad.detail.is_empty() && bad.detail.chars().count() <= 300);
        if let Some(id) = bad.id {
            let echoed = serde_json::to_string(&id).expect("an id is JSON");
            assert!(echoed.len() <= 6 * MAX_ID + 2, "each byte of an id is at most one escape");
        }
    }
});
