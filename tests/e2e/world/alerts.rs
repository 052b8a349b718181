//! Evaluates whether an alert of `deploy/prometheus/rules.yaml` would fire on the metrics of a node. This needs no
//! Prometheus: it parses the few forms of expressions in the rules, and refuses all others.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use verbatim::clock::Clock;

use super::{Node, eventually};

#[derive(Deserialize)]
struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
}

/// The expression of each alert.
pub static RULES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let text = include_str!("../../../deploy/prometheus/rules.yaml");
    let file: File = serde_saphyr::from_str(text).expect("rules");
    let rules = file.groups.into_iter().flat_map(|group| group.rules);
    rules.map(|rule| (rule.alert, rule.expr.trim().to_owned())).collect()
});

type Labels = BTreeMap<String, String>;

/// The series with a name in an exposition, each with its labels and its value.
fn series(text: &str, name: &str) -> Vec<(Labels, f64)> {
    let lines =
        text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let labels = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
            (pairs(labels, "="), value.parse().expect("a number"))
        })
        .collect()
}

/// Parses `a="b",c="d"`, with `by` between name and value.
fn pairs(labels: &str, by: &str) -> Labels {
    let each = labels.split("\",").filter_map(|label| label.split_once(by));
    each.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

/// The series that match a selector like `name{label="value",other=~"one|two"}[5m]`.
fn chosen(selector: &str, text: &str) -> Vec<(Labels, f64)> {
    let selector = selector.split('[').next().unwrap_or_default();
    let (name, wanted) = selector.split_once('{').unwrap_or((selector, "}"));
    let wanted = wanted.trim_end_matches('}');
    let (equal, among) = if wanted.contains("=~") {
        (Labels::new(), pairs(wanted, "=~"))
    } else {
        (pairs(wanted, "="), Labels::new())
    };
    let fits = |labels: &Labels| {
        let one_of = |(name, values): (&String, &String)| {
            labels.get(name).is_some_and(|value| values.split('|').any(|wanted| wanted == value))
        };
        equal.iter().all(|(name, value)| labels.get(name) == Some(value)) && among.iter().all(one_of)
    };
    series(text, name).into_iter().filter(|(labels, _)| fits(labels)).collect()
}

/// The selector inside functions and aggregations.
fn selector(side: &str) -> &str {
    let from = side.find("verbatim_").unwrap_or_else(|| panic!("no metric in {side}"));
    side[from..].trim_end_matches(')')
}

fn number(side: &str) -> f64 {
    side.split('*').map(|factor| factor.trim().parse::<f64>().expect("a number")).product()
}

/// The time, in seconds since 1970.
fn now() -> f64 {
    Clock::system().now().datetime().unix_timestamp() as f64
}

/// Whether one comparison holds for some series.
fn holds(comparison: &str, text: &str, earlier: &str) -> bool {
    let operators = [" == ", " >= ", " <= ", " > ", " < "];
    let found =
        operators.into_iter().find_map(|operator| Some((comparison.split_once(operator)?, operator.trim())));
    let ((left, right), operator) = found.unwrap_or_else(|| panic!("no comparison: {comparison}"));
    assert!(
        !left.contains("quantile") && !left.contains(") / ") && !left.contains("_over_time("),
        "this is for Prometheus alone: {comparison}"
    );
    let compare = |left: f64, right: f64| match operator {
        "==" => left == right,
        ">=" => left >= right,
        "<=" => left <= right,
        ">" => left > right,
        _ => left < right,
    };
    let grows = left.contains("rate(") || left.contains("increase(");
    let before = if grows { chosen(selector(left), earlier) } else { Vec::new() };
    chosen(selector(left), text).into_iter().any(|(labels, value)| {
        let then = before.iter().find(|(of, _)| *of == labels).map_or(0.0, |(_, value)| *value);
        let value = if grows { value - then } else { value };
        let value = if left.contains("abs(") { value.abs() } else { value };
        let value = if left.starts_with("time() - ") { now() - value } else { value };
        match right.strip_prefix("on (instance) ").unwrap_or(right) {
            other if other.contains("verbatim_") => {
                let same = |of: &Labels| labels.get("stream") == of.get("stream");
                chosen(other, text).iter().any(|(of, right)| same(of) && compare(value, *right))
            }
            constant => compare(value, number(constant)),
        }
    })
}

/// Whether the expression of an alert holds on metrics. Increases are relative to the earlier metrics.
pub fn is_firing(alert: &str, text: &str, earlier: &str) -> bool {
    let expr = RULES.get(alert).unwrap_or_else(|| panic!("there is no alert {alert}"));
    let is_met = |all: &str| all.split(" and on (instance) ").all(|one| holds(one, text, earlier));
    expr.split(" or ").any(is_met)
}

impl Node {
    /// Waits until an alert fires on the metrics of this node.
    pub async fn fires(&self, alert: &str) {
        self.fires_since(alert, "").await;
    }

    /// The same for increases since earlier metrics.
    pub async fn fires_since(&self, alert: &str, earlier: &str) {
        eventually(alert, || async { is_firing(alert, &self.metrics().await, earlier) }).await;
    }

    /// Waits until an alert no longer fires.
    pub async fn is_calm(&self, alert: &str) {
        eventually(&format!("no {alert}"), || async { !is_firing(alert, &self.metrics().await, "") }).await;
    }
}
