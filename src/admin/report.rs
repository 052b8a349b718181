//! The report on the parts of a process, and the status of the whole.

use serde_json::{Map, Value, json};

/// The state of a part, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Ok,
    /// The part works, and needs attention.
    Degraded,
    /// The part does not work.
    Failed,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

/// The code of a part whose state is not known, because another part has failed.
const UNKNOWN: &str = "not_known";

/// The observed state of one part.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) status: Status,
    /// The code of the fault, or `ok`.
    pub(super) code: &'static str,
    /// The fault, then the remedy; empty without a fault.
    pub(super) detail: String,
    /// Whether this node should get no new work, because other nodes are better off. A fault that all nodes share takes
    /// none of them out, because history and open sockets still work.
    pub(super) takes_out: bool,
    pub(super) figures: Map<String, Value>,
}

impl Part {
    pub(super) fn ok(name: &'static str) -> Self {
        let detail = String::new();
        Self { name, status: Status::Ok, code: "ok", detail, takes_out: false, figures: Map::new() }
    }

    pub(super) fn degraded(name: &'static str, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status: Status::Degraded, code, detail: detail.into(), ..Self::ok(name) }
    }

    pub(super) fn failed(name: &'static str, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status: Status::Failed, code, detail: detail.into(), ..Self::ok(name) }
    }

    /// The state of this part is not known because another part has failed; that other part says what to do.
    pub(super) fn unknown(name: &'static str, detail: impl Into<String>) -> Self {
        Self::degraded(name, UNKNOWN, detail)
    }

    /// The same part, with the decision whether its fault affects only this node and takes it out.
    pub(super) fn takes_out(self, takes_out: bool) -> Self {
        Self { takes_out, ..self }
    }

    /// The same part with one more figure.
    pub(super) fn with(mut self, figure: &str, value: impl Into<Value>) -> Self {
        self.figures.insert(figure.to_owned(), value.into());
        self
    }

    pub(super) fn body(&self) -> Value {
        let mut body = self.figures.clone();
        body.insert("status".into(), self.status.word().into());
        body.insert("code".into(), self.code.into());
        if !self.detail.is_empty() {
            body.insert("detail".into(), self.detail.clone().into());
        }
        Value::Object(body)
    }
}

/// The observed states of all parts at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Report {
    pub(super) parts: Vec<Part>,
    /// A problem with single conversations, which any other node would have, too.
    pub(super) warning: Option<String>,
}

impl Report {
    pub(super) fn takes_out(&self) -> bool {
        self.parts.iter().any(|part| part.takes_out)
    }

    pub(super) fn is_sound(&self) -> bool {
        self.parts.iter().all(|part| part.status == Status::Ok)
    }

    /// The body of `/readyz` without its status.
    pub(super) fn body(&self) -> Value {
        let parts: Map<String, Value> =
            self.parts.iter().map(|part| (part.name.to_owned(), part.body())).collect();
        let mut body = json!({ "parts": parts });
        // The report names first the fault that takes the node out.
        let mut troubles: Vec<&Part> =
            self.parts.iter().filter(|part| part.status != Status::Ok && part.code != UNKNOWN).collect();
        troubles.sort_by_key(|part| (!part.takes_out, std::cmp::Reverse(part.status)));
        if !troubles.is_empty() {
            let told: Vec<&str> = troubles.iter().map(|part| part.detail.as_str()).collect();
            body["trouble"] = told.join("; ").into();
        }
        if let Some(warning) = &self.warning {
            body["warning"] = warning.clone().into();
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_nodes_share_degrades_and_what_is_our_own_takes_out() {
        let report = |parts| Report { parts, warning: None };
        let sound = report(vec![Part::ok("log").with("streams", 1)]);
        assert!(sound.is_sound() && !sound.takes_out());
        assert_eq!(
            sound.body(),
            json!({ "parts": { "log": { "status": "ok", "code": "ok", "streams": 1 } } })
        );

        let shared = Part::failed("log", "refuses_appends", "the log refuses appends");
        let own = Part::failed("clock", "wrong", "the clock is wrong").takes_out(true);
        let degraded = report(vec![shared.clone(), Part::ok("clock")]);
        assert!(!degraded.is_sound() && !degraded.takes_out());
        let out = report(vec![shared, own]);
        assert!(out.takes_out());
        assert_eq!(out.body()["trouble"], "the clock is wrong; the log refuses appends");
    }
}
