//! No file depends, directly or indirectly, on a file that depends on it.

use crate::rules::{
    assert_none,
    files::{Files, cycles},
    source::Source,
    sources,
};

#[test]
fn files_need_one_another_in_one_direction_only() {
    assert_none(rings(sources()));
}

fn rings(sources: &[Source]) -> Vec<String> {
    let needs = Files::of(sources).needs();
    cycles(&needs)
        .into_iter()
        .map(|group| {
            let edges = group.iter().flat_map(|file| {
                let within = needs[file].iter().filter(|(other, _)| group.contains(other));
                within.map(move |(other, line)| format!("\n    src/{file}:{line} needs src/{other}"))
            });
            format!(
                "{} files need one another. Give what the lower one takes from the upper one a file of its own, or \
                 pass it as a value:{}",
                group.len(),
                edges.collect::<String>()
            )
        })
        .collect()
}

#[test]
fn the_rule_bites() {
    let ring = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        rings(&sources).len()
    };
    let child = ("a/b.rs", "use super::LIMIT; pub struct B;");
    assert_eq!(ring(&[("a/mod.rs", "pub mod b; pub use b::B;"), child]), 0);
    assert_eq!(ring(&[("a/mod.rs", "pub mod b; use b::B; const LIMIT: u8 = 1;"), child]), 1);
    assert_eq!(ring(&[("a/mod.rs", "pub mod b; const LIMIT: u8 = 1; fn f() { b::B::new() }"), child]), 1);
    assert_eq!(
        ring(&[("a/mod.rs", "pub mod b; pub use b::B; const LIMIT: u8 = 1; fn f() -> B { g() }"), child]),
        1
    );
    let (one, two) =
        (("b.rs", "use crate::c::C; pub struct B;"), ("c.rs", "pub struct C; fn f() { crate::d::B::new() }"));
    assert_eq!(ring(&[one, two, ("d/mod.rs", "pub use crate::b::B;")]), 1);
    assert_eq!(ring(&[one, ("c.rs", "pub struct C; #[cfg(test)] mod tests { use crate::b::B; }")]), 0);
    assert_eq!(ring(&[one, ("c.rs", "use crate::b::B; pub struct C;")]), 1);
}
