//! The program that a consumer begins with, in four languages.

use std::path::Path;

/// A language.
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

/// What a program has to know.
#[derive(Debug)]
pub(crate) struct Snippet<'a> {
    pub(crate) name: &'a str,
    /// The URLs of the servers.
    pub(crate) servers: &'a [String],
    /// The `.creds` file.
    pub(crate) creds: &'a Path,
    pub(crate) streams: &'a [String],
    /// The types that it passes on; none for all.
    pub(crate) types: &'a [String],
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

    /// How such a program is run.
    pub(crate) fn hint(self, name: &str) -> String {
        match self {
            Self::Rust => format!(
                "cargo add async-nats futures-util tokio -F tokio/full; save it as src/main.rs; cargo run   # {name}"
            ),
            Self::Python => format!("pip install 'nats-py[nkeys]'; save it as {name}.py; python3 {name}.py"),
            Self::TypeScript => format!(
                "npm install @nats-io/transport-node @nats-io/jetstream; save it as {name}.ts; node --experimental-strip-types {name}.ts"
            ),
            Self::Go => {
                format!("save it as main.go; go mod init {name}; go get github.com/nats-io/nats.go; go run .")
            }
        }
    }
}

impl Snippet<'_> {
    /// The program.
    pub(crate) fn text(&self, language: Language) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let list = |all: &[String]| all.iter().map(|one| quoted(one)).collect::<Vec<_>>().join(", ");
        let streams: Vec<String> = self.streams.iter().cloned().chain(["REPLAY".into()]).collect();
        language
            .template()
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
        };
        for language in [Language::Rust, Language::Python, Language::TypeScript, Language::Go] {
            let text = snippet.text(language);
            assert!(
                !text.contains("@NAME@") && !text.contains("@STREAMS@") && !text.contains("@TYPES@"),
                "{text}"
            );
            assert!(
                text.contains(r#""CHAT_0", "REPLAY""#) && text.contains(r#""/tmp/t\"1.creds""#),
                "{text}"
            );
        }
    }
}
