//! The starter program of a consumer, in four languages.

use std::path::Path;

use crate::log::GROUP;

/// The language of a starter program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// Rust, with async-nats.
    Rust,
    /// Python, with nats-py.
    Python,
    /// TypeScript, with @nats-io/jetstream.
    TypeScript,
    /// Go, with nats.go.
    Go,
}

/// The values that a starter program needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Snippet<'a> {
    pub(crate) name: &'a str,
    /// The URLs of the servers.
    pub(crate) servers: &'a [String],
    /// The `.creds` file.
    pub(crate) creds: &'a Path,
    pub(crate) streams: &'a [String],
    /// The types that it handles; empty for all.
    pub(crate) types: &'a [String],
    /// Whether it is one of several processes, of which only one reads at a time.
    pub(crate) is_exclusive: bool,
}

impl Language {
    fn template(self) -> &'static str {
        match self {
            Self::Rust => include_str!("snippets/consumer.rs.txt"),
            Self::Python => include_str!("snippets/consumer.py"),
            Self::TypeScript => include_str!("snippets/consumer.ts"),
            Self::Go => include_str!("snippets/consumer.go"),
        }
    }

    /// A placeholder that depends on whether one process reads at a time, and its replacement.
    fn place(self, is_exclusive: bool) -> (&'static str, String) {
        match self {
            Self::Python if is_exclusive => {
                ("@READ@\n", include_str!("snippets/read_exclusive.py").to_owned())
            }
            Self::Python => ("@READ@\n", include_str!("snippets/read.py").to_owned()),
            _ if !is_exclusive => ("@GROUP@", String::new()),
            // A process renews its request well before another one takes over.
            Self::TypeScript => ("@GROUP@", format!(", group: {GROUP:?}, expires: 10_000")),
            Self::Rust | Self::Go => ("@GROUP@", GROUP.to_owned()),
        }
    }

    /// How to run the program.
    pub(crate) fn hint(self, name: &str) -> String {
        match self {
            Self::Rust => format!(
                "cargo add async-nats futures-util tokio -F tokio/full; save it as src/main.rs; cargo run   # {name}"
            ),
            Self::Python => format!("pip install 'nats-py[nkeys]'; save it as {name}.py; python3 {name}.py"),
            Self::TypeScript => format!(
                "npm install @nats-io/transport-node @nats-io/jetstream tsx; save it as {name}.mts; npx tsx {name}.mts"
            ),
            Self::Go => {
                format!("save it as main.go; go mod init {name}; go get github.com/nats-io/nats.go; go run .")
            }
        }
    }
}

impl Snippet<'_> {
    /// The text of the program.
    pub(crate) fn text(&self, language: Language) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let list = |all: &[String]| all.iter().map(|one| quoted(one)).collect::<Vec<_>>().join(", ");
        let streams: Vec<String> = self.streams.iter().cloned().chain(["REPLAY".into()]).collect();
        let (place, text) = language.place(self.is_exclusive);
        language
            .template()
            .replace(place, &text)
            .replace("\"@NAME@\"", &quoted(self.name))
            .replace("\"@CREDS@\"", &quoted(&self.creds.display().to_string()))
            .replace("\"@SERVERS@\"", &list(self.servers))
            .replace("\"@STREAMS@\"", &list(&streams))
            .replace("\"@TYPES@\"", &list(self.types))
            .replace("@NAME@", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_gap_is_left() {
        let (servers, streams) = (["nats://one:4222".to_owned()], ["CHAT_0".to_owned()]);
        let snippet = Snippet {
            name: "t1",
            servers: &servers,
            creds: Path::new("/tmp/t\"1.creds"),
            streams: &streams,
            types: &[],
            is_exclusive: false,
        };
        for language in [Language::Rust, Language::Python, Language::TypeScript, Language::Go] {
            let exclusive = Snippet { is_exclusive: true, ..snippet }.text(language);
            assert!(exclusive.contains(r#""one""#), "{exclusive}");
            let text = snippet.text(language);
            assert!(!text.contains(r#""one""#), "{text}");
            for gap in ["@NAME@", "@STREAMS@", "@TYPES@", "@READ@", "@GROUP@"] {
                assert!(!text.contains(gap) && !exclusive.contains(gap), "{gap} in {text}");
            }
            assert!(
                text.contains(r#""CHAT_0", "REPLAY""#) && text.contains(r#""/tmp/t\"1.creds""#),
                "{text}"
            );
        }
    }
}
