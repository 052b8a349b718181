//! The cost of password hashes.

use clap::Args;

use crate::{
    config::BadSetting,
    credentials::{Cost, Hasher},
};

const MEMORY: &str = "VERBATIM_ARGON2_MEMORY";
const PASSES: &str = "VERBATIM_ARGON2_PASSES";

/// The cost of one password hash.
#[derive(Debug, Clone, Args)]
pub(super) struct HashSettings {
    /// Memory for one password hash (Argon2id), in KiB.
    #[arg(long, env = MEMORY, default_value_t = 19_456, value_name = "KIB",
          value_parser = clap::value_parser!(u32).range(8..=262_144))]
    argon2_memory: u32,

    /// Number of passes of one password hash (Argon2id).
    #[arg(long, env = PASSES, default_value_t = 2, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..=16))]
    argon2_passes: u32,
}

impl HashSettings {
    pub(super) fn cost(&self) -> Cost {
        Cost { memory_kib: self.argon2_memory, passes: self.argon2_passes, ..Cost::default() }
    }

    /// The hasher, or the refusal of two settings that argon2 does not take together.
    pub(super) fn hasher(&self) -> Result<Hasher, BadSetting> {
        Hasher::new(self.cost()).map_err(|bad| BadSetting(format!("{MEMORY}, {PASSES}: {bad}")))
    }
}
