//! Secret settings, which may also come from a file.

use std::path::PathBuf;

/// A setting that cannot be used. The message names the setting and says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadSetting(pub(super) String);

pub(super) fn either(
    value: Option<&String>,
    file: Option<&PathBuf>,
    name: &str,
) -> Result<String, BadSetting> {
    match (value, file) {
        (Some(value), None) => Ok(value.clone()),
        (None, Some(file)) => secret(file, &format!("{name}_FILE")),
        (Some(_), Some(_)) => Err(BadSetting(format!("{name} and {name}_FILE are both set: unset one"))),
        (None, None) => Err(BadSetting(format!("{name} is not set: set it, or {name}_FILE"))),
    }
}

/// The content of a file without the line breaks at its end.
pub(super) fn secret(file: &PathBuf, name: &str) -> Result<String, BadSetting> {
    let content = std::fs::read_to_string(file)
        .map_err(|e| BadSetting(format!("{name}: {} cannot be read: {e}", file.display())))?;
    let content = content.trim_end_matches(['\n', '\r']);
    if content.is_empty() {
        return Err(BadSetting(format!("{name}: {} is empty", file.display())));
    }
    Ok(content.to_owned())
}
