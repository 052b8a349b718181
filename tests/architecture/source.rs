//! The references of a file of `src/`, parsed by `syn`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::{
    Attribute, File, Ident, ImplItem, Item, ItemMod, ItemUse, UseTree, Visibility,
    spanned::Spanned,
    visit::{self, Visit},
};

/// A line, counted from one, and a column.
type At = (usize, usize);

/// From the first character to after the last one.
type Range = (At, At);

/// A file of `src/`.
pub(crate) struct Source {
    /// The path below `src/`, with slashes: `log/append.rs`.
    pub(crate) path: String,
    /// The text of the file.
    pub(crate) text: String,
    /// The code as tokens. Comments are left out, and literals keep only their place.
    pub(crate) tokens: Vec<Token>,
    /// The names that are brought into scope.
    pub(crate) uses: Vec<Use>,
    /// The names of all items, each with the inline modules around it.
    pub(crate) items: BTreeSet<(Vec<String>, String)>,
    shape: Shape,
}

/// A name, `::`, a lifetime, a bracket or another sign.
pub(crate) struct Token {
    at: At,
    pub(crate) text: String,
}

/// One leaf of a `use` tree.
#[derive(Clone)]
pub(crate) struct Use {
    pub(crate) line: usize,
    pub(crate) ships: bool,
    /// Whether other modules may see it.
    pub(crate) is_public: bool,
    /// The inline modules around it.
    pub(crate) scope: Vec<String>,
    /// The path of the item; for a glob, the path of the module.
    pub(crate) path: Vec<String>,
    /// Its name here; `*` for a glob.
    pub(crate) name: String,
}

/// A path outside of `use`.
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) ships: bool,
    /// The inline modules around it.
    pub(crate) scope: Vec<String>,
    pub(crate) path: Vec<String>,
    /// Whether it is part of a visibility: `pub(in crate::log)`.
    pub(crate) is_visibility: bool,
}

impl Source {
    #[track_caller]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("src/{path}: {error}"));
        let code: TokenStream = text.parse().expect("syn has read it");
        let mut tokens = Vec::new();
        flatten(code, &mut tokens);
        let mut shape = Shape::default();
        shape.visit_file(&file);
        if is_test(path) {
            shape.tests.push(((0, 0), (usize::MAX, 0)));
        }
        let mut uses = Vec::new();
        for (place, is_public, leaves) in std::mem::take(&mut shape.trees) {
            let scope = shape.scope(place);
            uses.extend(leaves.into_iter().map(|(path, name, at)| {
                let (line, ships, scope) = (at.0, !shape.tests(at), scope.clone());
                Use { line, ships, is_public, scope, path, name }
            }));
        }
        let items = std::mem::take(&mut shape.items);
        Self { path: path.to_owned(), text: text.to_owned(), tokens, uses, items, shape }
    }

    /// The module directly below the crate: `log` for `log.rs`, `log/mod.rs` and `log/append.rs`.
    pub(crate) fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs")
    }

    /// The module path of the file; empty for `lib.rs`.
    pub(crate) fn module(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs");
        let path = path.strip_suffix("/mod").unwrap_or(path);
        path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
    }

    /// Whether it contains only tests.
    pub(crate) fn is_test(&self) -> bool {
        is_test(&self.path)
    }

    /// The number of its lines without those that are only for tests.
    pub(crate) fn lines_that_ship(&self) -> usize {
        let lines = 1..=self.text.lines().count();
        lines.filter(|line| !self.shape.tests.iter().any(|(from, to)| (from.0..=to.0).contains(line))).count()
    }

    /// Every path outside of `use`, including those in macros and attributes.
    pub(crate) fn named(&self) -> Vec<Named> {
        let mut found = Vec::new();
        let text = |at: usize| self.tokens.get(at).map_or("", |token: &Token| token.text.as_str());
        let mut at = 0;
        while at < self.tokens.len() {
            let first = at;
            at += 1;
            let begins = first == 0 || !["::", "."].contains(&text(first - 1));
            let place = self.tokens[first].at;
            if !is_name(text(first)) || !begins || self.shape.is_use(place) {
                continue;
            }
            let mut path = vec![text(first).to_owned()];
            while text(at) == "::" && is_name(text(at + 1)) {
                path.push(text(at + 1).to_owned());
                at += 2;
            }
            let is_visibility = first > 2 && text(first - 1) == "in" && text(first - 3) == "pub";
            let (line, ships, scope) = (place.0, !self.shape.tests(place), self.shape.scope(place));
            found.push(Named { line, ships, scope, path, is_visibility });
        }
        found
    }

    /// Every path of at least two names, in `use` and elsewhere, with the number of its line and the inline
    /// modules around it.
    pub(crate) fn paths(&self) -> Vec<(usize, Vec<String>, Vec<String>)> {
        let uses = self.uses.iter().map(|found| (found.line, found.scope.clone(), found.path.clone()));
        let named = self.named().into_iter().map(|found| (found.line, found.scope, found.path));
        uses.chain(named.filter(|(.., path)| path.len() > 1)).collect()
    }

    /// The path from the crate root to the item of a path, if that path begins with `crate`, `self` or `super`.
    pub(crate) fn absolute(&self, scope: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut module = [self.module(), scope.to_vec()].concat();
        let mut rest = path;
        match rest[0].as_str() {
            "crate" | "verbatim" => return Some(rest[1..].to_vec()),
            "self" => rest = &rest[1..],
            "super" => {}
            _ => return None,
        }
        while let Some(("super", after)) = rest.split_first().map(|(first, after)| (first.as_str(), after)) {
            module.pop();
            rest = after;
        }
        Some([&module[..], rest].concat())
    }

    /// The paths that begin with another crate, or with a name that is not in scope here.
    pub(crate) fn outside(&self) -> Vec<(usize, Vec<String>)> {
        let brought = self.uses.iter().filter(|found| found.path.len() > 1).map(|found| &found.name);
        let local: BTreeSet<&String> = brought.chain(self.items.iter().map(|(_, name)| name)).collect();
        let paths = self.paths().into_iter().filter(|(.., path)| !local.contains(&path[0]));
        paths.map(|(line, _, path)| (line, path)).collect()
    }

    /// The lines that contain a piece of code, written as in the source.
    pub(crate) fn lines_with(&self, code: &str) -> Vec<usize> {
        self.places_of(code).into_iter().map(|at| at.0).collect()
    }

    /// The same lines, without those of tests.
    pub(crate) fn lines_that_ship_with(&self, code: &str) -> Vec<usize> {
        self.places_of(code).into_iter().filter(|at| !self.shape.tests(*at)).map(|at| at.0).collect()
    }

    fn places_of(&self, code: &str) -> Vec<At> {
        let mut wanted = Vec::new();
        flatten(code.parse().expect("a piece of Rust"), &mut wanted);
        let found = self.tokens.windows(wanted.len());
        let found =
            found.filter(|here| here.iter().zip(&wanted).all(|(token, wanted)| token.text == wanted.text));
        found.map(|here| here[0].at).collect()
    }
}

/// All files of a folder, sorted by path.
pub(crate) fn read_all(src: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(src, &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let below = path.strip_prefix(src).expect("it was found there").to_string_lossy().replace('\\', "/");
        Source::new(&below, &text)
    };
    paths.iter().map(read).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs"))
}

/// The places of items, names and tests.
#[derive(Default)]
struct Shape {
    around: Vec<String>,
    tests: Vec<Range>,
    inline: Vec<(Range, Vec<String>)>,
    use_items: Vec<Range>,
    trees: Vec<(At, bool, Vec<Leaf>)>,
    items: BTreeSet<(Vec<String>, String)>,
}

impl Shape {
    fn tests(&self, at: At) -> bool {
        self.tests.iter().any(|range| holds(range, at))
    }

    fn is_use(&self, at: At) -> bool {
        self.use_items.iter().any(|range| holds(range, at))
    }

    fn scope(&self, at: At) -> Vec<String> {
        let around = self.inline.iter().filter(|(range, _)| holds(range, at)).map(|(_, scope)| scope);
        around.max_by_key(|scope| scope.len()).cloned().unwrap_or_default()
    }

    fn define(&mut self, name: impl ToString) {
        self.items.insert((self.around.clone(), name.to_string()));
    }
}

impl<'a> Visit<'a> for Shape {
    fn visit_file(&mut self, file: &'a File) {
        if file.attrs.iter().any(is_for_tests) {
            self.tests.push(((0, 0), (usize::MAX, 0)));
        }
        visit::visit_file(self, file);
    }

    fn visit_item(&mut self, item: &'a Item) {
        let mut attributes: &[Attribute] = &[];
        match item {
            Item::Const(it) => (attributes, _) = (&it.attrs, self.define(&it.ident)),
            Item::Enum(it) => (attributes, _) = (&it.attrs, self.define(&it.ident)),
            Item::Fn(it) => (attributes, _) = (&it.attrs, self.define(&it.sig.ident)),
            Item::Impl(it) => attributes = &it.attrs,
            Item::Macro(it) => {
                attributes = &it.attrs;
                // A macro may define an item with any of the names in its input.
                let mut made = Vec::new();
                flatten(it.mac.tokens.clone(), &mut made);
                let names = made.into_iter().map(|token| token.text);
                let names = names.filter(|text| syn::parse_str::<Ident>(text).is_ok());
                for name in names.chain(it.ident.iter().map(ToString::to_string)) {
                    self.define(name);
                }
            }
            Item::Mod(it) => (attributes, _) = (&it.attrs, self.define(&it.ident)),
            Item::Static(it) => (attributes, _) = (&it.attrs, self.define(&it.ident)),
            Item::Struct(it) => (attributes, _) = (&it.attrs, self.define(&it.ident)),
            Item::Trait(it) => (attributes, _) = (&it.attrs, self.define(&it.ident)),
            Item::Type(it) => (attributes, _) = (&it.attrs, self.define(&it.ident)),
            Item::Use(it) => attributes = &it.attrs,
            _ => {}
        }
        if attributes.iter().any(is_for_tests) {
            self.tests.push(range(item));
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Const(it) => &it.attrs,
            ImplItem::Fn(it) => &it.attrs,
            ImplItem::Type(it) => &it.attrs,
            _ => &[],
        };
        if attributes.iter().any(is_for_tests) {
            self.tests.push(range(item));
        }
        visit::visit_impl_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'a ItemMod) {
        self.around.push(item.ident.to_string());
        if item.content.is_some() {
            self.inline.push((range(item), self.around.clone()));
        }
        visit::visit_item_mod(self, item);
        self.around.pop();
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        self.use_items.push(range(item));
        let (is_public, mut leaves) = (!matches!(item.vis, Visibility::Inherited), Vec::new());
        unfold(&item.tree, &[], &mut leaves);
        self.trees.push((place(item), is_public, leaves));
    }
}

/// `#[cfg(test)]`, `#[test]`, `#[tokio::test]`.
fn is_for_tests(attribute: &Attribute) -> bool {
    let path = attribute.path();
    if path.is_ident("cfg") {
        return attribute.parse_args::<syn::Path>().is_ok_and(|only| only.is_ident("test"));
    }
    path.segments.last().is_some_and(|last| last.ident == "test")
}

fn range(piece: &impl Spanned) -> Range {
    let span = piece.span();
    ((span.start().line, span.start().column), (span.end().line, span.end().column))
}

fn place(piece: &impl Spanned) -> At {
    range(piece).0
}

fn holds((from, to): &Range, at: At) -> bool {
    *from <= at && at < *to
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// A path, its name here, and its place.
type Leaf = (Vec<String>, String, At);

fn unfold(tree: &UseTree, prefix: &[String], leaves: &mut Vec<Leaf>) {
    let with = |name: String| [prefix, &[name]].concat();
    match tree {
        UseTree::Path(path) => unfold(&path.tree, &with(path.ident.to_string()), leaves),
        UseTree::Group(group) => group.items.iter().for_each(|tree| unfold(tree, prefix, leaves)),
        UseTree::Glob(glob) => leaves.push((prefix.to_vec(), "*".to_owned(), place(glob))),
        UseTree::Name(leaf) if leaf.ident == "self" => {
            leaves.push((prefix.to_vec(), prefix.last().cloned().unwrap_or_default(), place(leaf)));
        }
        UseTree::Name(leaf) => {
            leaves.push((with(leaf.ident.to_string()), leaf.ident.to_string(), place(leaf)));
        }
        UseTree::Rename(leaf) => {
            let path = if leaf.ident == "self" { prefix.to_vec() } else { with(leaf.ident.to_string()) };
            leaves.push((path, leaf.rename.to_string(), place(leaf)));
        }
    }
}

/// Brackets become tokens, `::` becomes one token, and so does a lifetime.
fn flatten(code: TokenStream, into: &mut Vec<Token>) {
    let mut trees = code.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let at = place(&tree);
        let mut push = |text: String| into.push(Token { at, text });
        match tree {
            TokenTree::Ident(name) => push(name.to_string()),
            TokenTree::Literal(_) => push("\"\"".to_owned()),
            TokenTree::Punct(sign) => {
                let mut text = sign.as_char().to_string();
                if sign.spacing() == Spacing::Joint && matches!(sign.as_char(), ':' | '\'') {
                    match trees.peek() {
                        Some(TokenTree::Punct(next)) if sign.as_char() == ':' && next.as_char() == ':' => {
                            text.push(':');
                            trees.next();
                        }
                        Some(TokenTree::Ident(name)) if sign.as_char() == '\'' => {
                            text.push_str(&name.to_string());
                            trees.next();
                        }
                        _ => {}
                    }
                }
                push(text);
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open.to_owned());
                flatten(group.stream(), into);
                into.push(Token { at: range(&group.span_close()).0, text: close.to_owned() });
            }
        }
    }
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "const A: &str = \"crate::z \\\" e\"; // crate::x\n/* b /* c */ crate::y */ fn d<'g>() { 'f'; '\\''; r#\"crate::\"h\"#; }";
    let code: Vec<String> = Source::new("a.rs", text).tokens.into_iter().map(|token| token.text).collect();
    assert_eq!(code.join(" "), "const A : & str = \"\" ; fn d < 'g > ( ) { \"\" ; \"\" ; \"\" ; }");
}

#[test]
fn use_trees_and_paths_are_unfolded() {
    let text = "use crate::{a::{b, c as d}, e::{self}, f::*};\nfn a() { macro_of!(crate::g::h(1).i::<J>()); }\npub(in crate::k) struct L;";
    let paths = Source::new("m/n.rs", text).paths();
    let paths: Vec<_> = paths.into_iter().map(|(line, _, path)| (line, path.join("::"))).collect();
    let wanted = [
        (1, "crate::a::b"),
        (1, "crate::a::c"),
        (1, "crate::e"),
        (1, "crate::f"),
        (2, "crate::g::h"),
        (3, "crate::k"),
    ];
    assert_eq!(paths, wanted.map(|(line, path)| (line, path.to_owned())));
}

#[test]
fn the_way_up_leads_to_the_crate() {
    let named = |path: &str, text: &str| {
        let source = Source::new(path, text);
        let paths = source.paths().into_iter().map(|(_, scope, path)| source.absolute(&scope, &path));
        paths.map(|path| path.map(|path| path.join("::"))).collect::<Vec<_>>()
    };
    assert_eq!(named("m.rs", "use super::a;"), [Some("a".to_owned())]);
    assert_eq!(
        named("m/mod.rs", "use self::{a, b::c};"),
        ["m::a", "m::b::c"].map(|path| Some(path.to_owned()))
    );
    assert_eq!(
        named("m/n.rs", "mod o { use super::a; use super::super::b::c; }"),
        ["m::n::a", "m::b::c"].map(|path| Some(path.to_owned()))
    );
    assert_eq!(named("m/n.rs", "use std::fmt;"), [None]);
}

#[test]
fn a_name_from_another_crate_is_told_from_one_in_scope() {
    let text = "mod hyper; use std::{time::Duration, fmt};\nuse tokio::time;\nfn a() { time::sleep(1); poem::get(2); fmt::b(); hyper::c() }";
    let roots: Vec<String> =
        Source::new("m.rs", text).outside().into_iter().map(|(_, path)| path[0].clone()).collect();
    assert_eq!(roots, ["std", "std", "tokio", "poem"]);
}

#[test]
fn tests_do_not_ship() {
    let text = "fn a() { x() }\n#[cfg(test)]\nmod tests {\n fn b() { x() }\n}\nimpl C {\n #[cfg(test)]\n fn d() { x() }\n}\n#[cfg(test)]\nmod e;\nfn f() { x() }\n#[cfg(not(test))]\nfn g() { x() }";
    let source = Source::new("m.rs", text);
    assert_eq!(source.lines_that_ship_with("x()"), [1, 12, 14]);
    assert_eq!(source.lines_that_ship(), 6);
    assert_eq!(Source::new("m/tests.rs", "fn a() { x() }").lines_that_ship(), 0);
}
