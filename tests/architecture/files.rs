//! Dependencies between files: imports are followed through `pub use` to the file that defines the name. Tests are left
//! out, and so are names that a facade only re-exports.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::source::Source;

/// The maximum depth of re-exports of re-exports, deeper than in any real code.
const DEEP: usize = 16;

/// The files of `src/` that ship.
pub(crate) struct Files<'a> {
    by_module: BTreeMap<Vec<String>, &'a Source>,
}

/// For each file, the files that it depends on, each with the first line that shows it.
pub(crate) type Needs<'a> = BTreeMap<&'a str, BTreeMap<&'a str, usize>>;

impl<'a> Files<'a> {
    pub(crate) fn of(sources: &'a [Source]) -> Self {
        let ship = sources.iter().filter(|source| !source.is_test());
        Self { by_module: ship.map(|source| (source.module(), source)).collect() }
    }

    pub(crate) fn needs(&self) -> Needs<'a> {
        self.by_module.values().map(|file| (file.path.as_str(), self.needed_by(file))).collect()
    }

    fn needed_by(&self, file: &'a Source) -> BTreeMap<&'a str, usize> {
        let mut needed = BTreeMap::new();
        let mut note = |line: usize, home: Option<&'a Source>| {
            if let Some(home) = home.filter(|home| home.path != file.path) {
                needed
                    .entry(home.path.as_str())
                    .and_modify(|first: &mut usize| *first = line.min(*first))
                    .or_insert(line);
            }
        };
        for found in file.uses.iter().filter(|found| found.ships && !found.is_public && found.name != "*") {
            note(found.line, self.home(file, &found.scope, &found.path, 0));
        }
        for found in file.named().iter().filter(|found| found.ships && !found.is_visibility) {
            // A single name is no module: it is an item that is in scope here, or comes from another crate.
            let home = match found.path.len() {
                1 => self.brought(file, &found.scope, &found.path, 0),
                _ => self.home(file, &found.scope, &found.path, 0),
            };
            note(found.line, home);
        }
        needed
    }

    /// The file that defines the item that a path in a file refers to; `None` if another crate does.
    fn home(&self, file: &'a Source, scope: &[String], path: &[String], depth: usize) -> Option<&'a Source> {
        if depth > DEEP {
            return None;
        }
        if let Some(way) = self.way(file, scope, path) {
            return self.definer(&way, depth);
        }
        self.brought(file, scope, path, depth)
    }

    /// The path from the crate root, if a path contains it or begins with a module below the file.
    fn way(&self, file: &Source, scope: &[String], path: &[String]) -> Option<Vec<String>> {
        let child = || [&file.module()[..], scope, path].concat();
        let is_child = |way: &[String]| self.by_module.contains_key(&way[..=way.len() - path.len()]);
        file.absolute(scope, path).or_else(|| Some(child()).filter(|way| is_child(way)))
    }

    /// Looks up a name that a file brings into scope with `use`.
    fn brought(
        &self,
        file: &'a Source,
        scope: &[String],
        path: &[String],
        depth: usize,
    ) -> Option<&'a Source> {
        let (name, rest) = path.split_first()?;
        let mut here = file.uses.iter().filter(|found| found.ships && found.scope == scope);
        if let Some(found) = here.clone().find(|found| found.name == *name && found.path != path) {
            return self.home(file, scope, &[&found.path[..], rest].concat(), depth + 1);
        }
        here.find_map(|found| {
            let module = (found.name == "*").then(|| self.way(file, scope, &found.path))??;
            let whole = self.by_module.get(&module)?;
            let defines = whole.items.contains(&(Vec::new(), name.clone()));
            if defines { Some(*whole) } else { self.brought(whole, &[], path, depth + 1) }
        })
    }

    /// The file that defines the item at the end of a path from the crate root.
    fn definer(&self, way: &[String], depth: usize) -> Option<&'a Source> {
        let (module, rest) = (0..=way.len())
            .rev()
            .find(|&end| self.by_module.contains_key(&way[..end]))
            .map(|end| way.split_at(end))?;
        let file = self.by_module[module];
        let defines = rest.first().is_none_or(|name| file.items.contains(&(Vec::new(), name.clone())));
        if defines { Some(file) } else { self.brought(file, &[], rest, depth).or(Some(file)) }
    }
}

/// The groups of files that depend on one another, each sorted.
pub(crate) fn cycles<'a>(needs: &Needs<'a>) -> Vec<Vec<&'a str>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        needs.keys().map(|file| (*file, reached(needs, file))).collect();
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for (file, below) in &reach {
        if below.contains(file) && !told.contains(file) {
            let group: Vec<&str> =
                below.iter().copied().filter(|other| reach[other].contains(file)).collect();
            told.extend(group.iter().copied());
            found.push(group);
        }
    }
    found
}

fn reached<'a>(needs: &Needs<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = needs[from].keys().copied().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(needs[file].keys().copied());
        }
    }
    reached
}

#[test]
fn a_name_is_followed_to_the_file_that_defines_it() {
    let sources = [
        ("a/mod.rs", "mod b; mod c; mod glob; pub use b::B; pub use crate::d::D as E; pub use glob::*; pub struct Own;"),
        ("a/b.rs", "pub struct B;"),
        ("a/c.rs", "pub(in crate::a) struct C; #[cfg(test)] mod tests { use crate::a::B; }"),
        ("a/glob.rs", "pub struct G; made!(pub H);"),
        ("a/tests.rs", "use crate::a::B;"),
        ("d.rs", "pub struct D;"),
        ("by_use.rs", "use crate::{a, a::{B, E}};"),
        ("by_path.rs", "fn f() { crate::a::c::C::new() }"),
        ("by_glob.rs", "use crate::a::*; fn f() -> G { H }"),
        ("by_name.rs", "use crate::a; fn f() { a::B::new(); a::Own }"),
        ("in_macro.rs", "fn f() { vec![crate::a::Own] }"),
        ("facade/mod.rs", "mod child; mod other; pub use other::Other; fn f() { child::new() }"),
        ("facade/child.rs", ""),
        ("facade/other.rs", "use super::child; fn f() { std::mem::swap(a, b) }"),
        ("hands_on/mod.rs", "mod child; pub use child::Child; fn f() -> Child { g() }"),
        ("hands_on/child.rs", ""),
    ]
    .map(|(path, text)| Source::new(path, text));
    let needs = Files::of(&sources).needs();
    for (file, wanted) in [
        ("a/mod.rs", &[][..]),
        ("a/c.rs", &[]),
        ("by_use.rs", &["a/b.rs", "a/mod.rs", "d.rs"]),
        ("by_path.rs", &["a/c.rs"]),
        ("by_glob.rs", &["a/glob.rs"]),
        ("by_name.rs", &["a/b.rs", "a/mod.rs"]),
        ("in_macro.rs", &["a/mod.rs"]),
        ("facade/mod.rs", &["facade/child.rs"]),
        ("facade/other.rs", &["facade/child.rs"]),
        ("hands_on/mod.rs", &["hands_on/child.rs"]),
    ] {
        assert_eq!(needs[file].keys().copied().collect::<Vec<_>>(), wanted, "{file}");
    }
    assert!(!needs.contains_key("a/tests.rs"));
}
