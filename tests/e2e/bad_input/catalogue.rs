//! Tables of cases, and their execution.

use serde::{Deserialize, de::DeserializeOwned};
use toml::{Table, Value};

use super::stage::Stage;

/// The error is the difference from the expectation of a case.
pub type Verdict = Result<(), String>;

/// One line of a table.
pub struct Case<C> {
    pub name: String,
    /// Whether the input only looks bad, so it may change log or tables.
    pub is_accepted: bool,
    pub input: C,
}

#[derive(Deserialize)]
struct Cases {
    case: Vec<Table>,
}

/// The cases of a table. Asserts that all fields are known and that no name occurs twice.
pub fn cases<C: DeserializeOwned>(table: &str) -> Vec<Case<C>> {
    let Cases { case } = toml::from_str(table).expect("a table of cases");
    let mut cases: Vec<Case<C>> = Vec::new();
    for mut row in case {
        let Some(Value::String(name)) = row.remove("name") else { panic!("a case has no name: {row:?}") };
        let is_accepted = row.remove("accepted").is_some_and(|accepted| accepted == Value::Boolean(true));
        let input = C::deserialize(row).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(cases.iter().all(|case| case.name != name), "{name}: the name stands twice");
        cases.push(Case { name, is_accepted, input });
    }
    cases
}

/// Tries each case of a table, and returns all differences.
pub async fn plays<C: DeserializeOwned>(
    stage: &mut Stage,
    table: &str,
    tries: impl AsyncFn(&Stage, &C) -> Verdict,
) -> Vec<String> {
    let mut different = Vec::new();
    for Case { name, is_accepted, input } in cases::<C>(table) {
        let verdicts = [tries(stage, &input).await, stage.is_unharmed(is_accepted).await];
        different.extend(verdicts.into_iter().filter_map(Result::err).map(|what| format!("{name}: {what}")));
        if !stage.lives().await {
            different.push(format!("{name}: the node has ended"));
            break;
        }
    }
    different
}

/// Tries each case of a table, and asserts that there is no difference.
pub async fn holds<C: DeserializeOwned>(
    mut stage: Stage,
    table: &str,
    tries: impl AsyncFn(&Stage, &C) -> Verdict,
) {
    let different = plays(&mut stage, table, tries).await;
    assert!(different.is_empty(), "{}", different.join("\n"));
    stage.ends().await;
}

/// Compares a result with an expectation.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Verdict {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?} and should be {expected:?}")) }
}
