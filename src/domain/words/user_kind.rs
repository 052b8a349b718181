//! Whether an account belongs to a person or a program.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a user is a person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// A person.
    User,
    /// A program, with an account of its own.
    Service,
}
