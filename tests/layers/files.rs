//! Files inside a room: which names what another defines, and that no such chain leads back to where it began.
//!
//! A file names another where a path in it ends in something that the other *defines*; what a parent only passes on (`pub use`) belongs
//! to the child that defines it. A `mod.rs` is the door of a folder of things: it may pass on its children's items, and they may use
//! what it defines, but if it also works with them, that makes a circle of both; what they share belongs into a file below.
//!
//! Not counted: a table of one line for each child (`static VIEWS: &[View] = &[stack::VIEW, …]`), which is where a child is
//! registered; files of unit tests; and what the files in `pane/` name of `pane.rs`: they are its inner parts, one thing in several files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::{Named, after_item, from_root, is_punct, is_test_attribute, module_of, paths};

/// A file of a room as the graph sees it.
struct Source {
    module: Vec<String>,
    /// Paths in its code, what stands in `use` and in tables of children left out.
    code: Vec<Named>,
    /// Names that it brings into scope, with the paths that they stand for, spread out.
    brought: BTreeMap<String, Vec<String>>,
    /// Names whose `use` has a visibility: they are passed on.
    passed_on: BTreeSet<String>,
}

/// A file that names what another defines, and an example of it.
type Edges = BTreeMap<(PathBuf, PathBuf), String>;

/// Who names whom among these files (below the folder of the crate's sources).
fn edges(files: &[(PathBuf, String)]) -> Edges {
    let sources: BTreeMap<Vec<String>, (PathBuf, Source)> = files
        .iter()
        .filter(|(path, _)| !is_tests(path))
        .map(|(path, text)| {
            let tokens: TokenStream = text.parse().unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            let source = source(path, tokens);
            (source.module.clone(), (path.clone(), source))
        })
        .collect();
    let mut edges = Edges::new();
    for (path, source) in sources.values() {
        for named in &source.code {
            let Some(full) = absolute(source, &sources, &named.parts, 0) else { continue };
            let Some(defining) = definer(&full, &sources, 0) else { continue };
            let (other, _) = &sources[&defining.module];
            let is_inner_part = source.module.starts_with(&defining.module) && !is_door(other);
            if defining.module.first() == source.module.first() && other != path && !is_inner_part {
                let example = format!("line {}: {}", named.line, full.join("::"));
                edges.entry((path.clone(), other.clone())).or_insert(example);
            }
        }
    }
    edges
}

/// Whether the file is the door of a folder of things, and not a thing whose parts are in the folder of its name.
fn is_door(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "mod.rs" || name == "lib.rs")
}

fn is_tests(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests")
}

fn source(path: &Path, tokens: TokenStream) -> Source {
    let module = if path == Path::new("lib.rs") { Vec::new() } else { module_of(path) };
    let mut source = Source { module, code: Vec::new(), brought: BTreeMap::new(), passed_on: BTreeSet::new() };
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let code = without_uses(&tokens, &mut source);
    source.code = paths(code);
    source
}

/// The tokens without `use` and `mod` lines and tables of children; what is brought into scope is noted.
fn without_uses(tokens: &[TokenTree], source: &mut Source) -> TokenStream {
    let mut kept = TokenStream::new();
    let mut at = 0;
    let mut visible = false;
    while let Some(token) = tokens.get(at) {
        if is_test_attribute(tokens, at) {
            at = after_item(tokens, at + 2);
            continue;
        }
        match token {
            TokenTree::Ident(word) if word == "use" => {
                let end = at + tokens[at..].iter().take_while(|token| !is(token, ';')).count();
                bring(&tokens[at + 1..end], &[], visible, source);
                at = end + 1;
                visible = false;
                continue;
            }
            TokenTree::Ident(word) if word == "mod" && is_punct(tokens, at + 2, ';') => {
                at += 3;
                visible = false;
                continue;
            }
            TokenTree::Ident(word) if word == "static" => {
                let end = after_item(&as_punct_only(tokens), at);
                if is_table_of_children(&tokens[at..end.min(tokens.len())]) {
                    at = end;
                    continue;
                }
            }
            _ => {}
        }
        // `pub`, `pub(super)` stand before what they make visible; the latter names no module that is used.
        if visible && matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis) {
            at += 1;
            continue;
        }
        visible = matches!(token, TokenTree::Ident(word) if word == "pub");
        kept.extend([match token {
            TokenTree::Group(group) => {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                let mut again = Group::new(group.delimiter(), without_uses(&inside, source));
                again.set_span(group.span());
                TokenTree::Group(again)
            }
            other => other.clone(),
        }]);
        at += 1;
    }
    kept
}

/// Groups do not end a `static`: its semicolon does.
fn as_punct_only(tokens: &[TokenTree]) -> Vec<TokenTree> {
    let hidden = |token: &TokenTree| match token {
        TokenTree::Group(_) => TokenTree::Ident(proc_macro2::Ident::new("group", proc_macro2::Span::call_site())),
        other => other.clone(),
    };
    tokens.iter().map(hidden).collect()
}

/// `static NAME: &[Type] = &[child::ITEM, &child::ITEM, …];`, every entry being one path.
fn is_table_of_children(item: &[TokenTree]) -> bool {
    let Some(TokenTree::Group(list)) = item.iter().rev().find(|token| matches!(token, TokenTree::Group(_))) else {
        return false;
    };
    let entries: Vec<TokenTree> = list.stream().into_iter().collect();
    list.delimiter() == Delimiter::Bracket
        && entries.len() > 1
        && entries.iter().all(|token| match token {
            TokenTree::Ident(_) => true,
            TokenTree::Punct(punct) => [':', ',', '&'].contains(&punct.as_char()),
            _ => false,
        })
}

fn is(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

/// Notes the names of one tree of `use`.
fn bring(tree: &[TokenTree], prefix: &[String], visible: bool, source: &mut Source) {
    let mut parts = prefix.to_vec();
    let mut alias = None;
    let mut tokens = tree.iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "as" => {
                alias = tokens.next().map(ToString::to_string);
            }
            TokenTree::Ident(word) => parts.push(word.to_string()),
            TokenTree::Group(group) => {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                for tree in inside.split(|token| is(token, ',')) {
                    bring(tree, &parts, visible, source);
                }
                return;
            }
            _ => {}
        }
    }
    if parts.last().is_some_and(|last| last == "self") && parts.len() > 1 {
        parts.pop();
    }
    if let Some(name) = alias.or_else(|| parts.last().cloned()) {
        if visible {
            source.passed_on.insert(name.clone());
        }
        source.brought.insert(name, parts);
    }
}

type Sources = BTreeMap<Vec<String>, (PathBuf, Source)>;

/// A path from the crate's root; `None` for what is not of this crate.
fn absolute(source: &Source, sources: &Sources, parts: &[String], depth: usize) -> Option<Vec<String>> {
    let first = parts.first()?;
    if first == "self" {
        return Some(source.module.iter().chain(&parts[1..]).cloned().collect());
    }
    if let Some(full) = from_root(&source.module, parts) {
        return Some(full);
    }
    if depth < 4
        && let Some(meant) = source.brought.get(first)
        && meant.first() != Some(first)
    {
        let meant: Vec<String> = meant.iter().chain(&parts[1..]).cloned().collect();
        return absolute(source, sources, &meant, depth + 1);
    }
    let child: Vec<String> = source.module.iter().chain([first]).cloned().collect();
    sources.contains_key(&child).then(|| source.module.iter().chain(parts).cloned().collect())
}

/// The file that defines what a path from the root means: what a file brings into scope is looked for where it comes from.
fn definer<'s>(full: &[String], sources: &'s Sources, depth: usize) -> Option<&'s Source> {
    let length = (0..=full.len()).rev().find(|length| sources.contains_key(&full[..*length]))?;
    let (_, source) = &sources[&full[..length]];
    let rest = &full[length..];
    if depth < 8
        && let Some(name) = rest.first()
        && let Some(meant) = source.brought.get(name)
    {
        let meant: Vec<String> = meant.iter().chain(&rest[1..]).cloned().collect();
        let meant = absolute(source, sources, &meant, 0)?;
        return if meant == full { Some(source) } else { definer(&meant, sources, depth + 1) };
    }
    Some(source)
}

/// The circles among these edges, each as its files in order: sets of files of which each leads to each.
fn circles(edges: &Edges) -> Vec<Vec<PathBuf>> {
    let mut next: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for (from, to) in edges.keys() {
        next.entry(from).or_default().insert(to);
    }
    let reach = |start: &Path| {
        let mut seen: BTreeSet<&Path> = BTreeSet::new();
        let mut open: Vec<&Path> = next.get(start).into_iter().flatten().copied().collect();
        while let Some(file) = open.pop() {
            if seen.insert(file) {
                open.extend(next.get(file).into_iter().flatten().copied());
            }
        }
        seen.into_iter().map(Path::to_path_buf).collect::<BTreeSet<PathBuf>>()
    };
    let reached: BTreeMap<PathBuf, BTreeSet<PathBuf>> =
        next.keys().map(|file| (file.to_path_buf(), reach(file))).collect();
    let mut found: Vec<Vec<PathBuf>> = Vec::new();
    for (file, from_here) in &reached {
        if !from_here.contains(file) || found.iter().flatten().any(|known| known == file) {
            continue;
        }
        let back = |other: &&PathBuf| reached.get(*other).is_some_and(|reached| reached.contains(file));
        found.push(from_here.iter().filter(back).cloned().collect());
    }
    found
}

/// Circles that are left, each with the edge by which it would be opened and why it stands. This list can only shrink: an entry that is no
/// longer on a circle fails the test.
const EXCUSED: &[(&str, &str, &str)] = &[
    (
        "src/report/text/table.rs",
        "src/report/text/mod.rs",
        "prints with the `Out` of the text printer, which prints it",
    ),
    ("src/report/text/tree.rs", "src/report/text/mod.rs", "prints with the `Out` of the text printer, which prints it"),
    ("src/tui/pick.rs", "src/tui/mod.rs", "returns an `Opening`, which the loop that shows the list defines"),
    (
        "src/tui/widgets/text.rs",
        "src/tui/widgets/mod.rs",
        "paints into the `Strip` of the widgets' entry, which calls it",
    ),
    (
        "src/unwind/confirm.rs",
        "src/unwind/chain.rs",
        "asks where a supposed caller leads, which is confirmed step by step",
    ),
    (
        "src/unwind/frame_pointer.rs",
        "src/unwind/chain.rs",
        "asks where a record leads, on the way of which are records",
    ),
];

#[test]
fn no_file_is_named_by_what_it_names() {
    let mut wrong = Vec::new();
    let mut left: Vec<_> = EXCUSED.iter().collect();
    for folder in ["src", "symbols/src"] {
        let mut edges = edges(&super::files_below(folder));
        let is = |(from, to): &(PathBuf, PathBuf), excuse: &(&str, &str, &str)| {
            Path::new(folder).join(from) == Path::new(excuse.0) && Path::new(folder).join(to) == Path::new(excuse.1)
        };
        let whole = circles(&edges);
        left.retain(|excuse| {
            let on_circle = |circle: &Vec<PathBuf>| {
                edges.keys().any(|edge| is(edge, excuse) && circle.contains(&edge.0) && circle.contains(&edge.1))
            };
            !whole.iter().any(on_circle)
        });
        edges.retain(|edge, _| !EXCUSED.iter().any(|excuse| is(edge, excuse)));
        for circle in circles(&edges) {
            wrong.push(format!("in {folder}:"));
            let inside = edges.iter().filter(|((from, to), _)| circle.contains(from) && circle.contains(to));
            wrong.extend(inside.map(|((from, to), how)| format!("    {} → {} ({how})", from.display(), to.display())));
        }
    }
    assert!(
        wrong.is_empty(),
        "files name each other in a circle; put what they share into a file below:\n{}",
        wrong.join("\n")
    );
    assert!(left.is_empty(), "no circle any more, so they need no excuse: {left:#?}");
}

#[test]
fn a_planted_circle_is_found() {
    let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
    let found = |files: &[(PathBuf, String)]| {
        let names = |circle: &Vec<PathBuf>| circle.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        circles(&edges(files)).iter().map(names).collect::<Vec<_>>()
    };
    let nothing = Vec::<Vec<String>>::new();
    // Two siblings, one by an import, the other by a path; a third only names them.
    let a = file("room/a.rs", "use super::b::B; pub struct A; fn f(_: B) {}");
    let b = file("room/b.rs", "pub struct B; fn g(_: super::a::A) {}");
    let c = file("room/c.rs", "fn h(_: super::b::B, _: super::a::A) {}");
    let facade = file("room/mod.rs", "mod a; mod b; mod c; pub use self::a::A; pub use self::b::B;");
    assert_eq!(found(&[a.clone(), b.clone(), c.clone(), facade]), [["room/a.rs", "room/b.rs"]]);
    // By way of what a parent passes on: the path ends in the child that defines it.
    let by_parent = file("room/b.rs", "pub struct B; fn g(_: crate::room::A) {}");
    let facade = file("room/mod.rs", "mod a; mod b; pub use self::a::A;");
    assert_eq!(found(&[a, by_parent, facade.clone()]), [["room/a.rs", "room/b.rs"]]);
    // A child may use what its parent defines, and the parent may pass on what the child does …
    let child = file("room/a.rs", "use super::Shared; pub struct A(Shared);");
    let parent = file("room/mod.rs", "mod a; pub use self::a::A; pub struct Shared;");
    assert_eq!(found(&[child.clone(), parent]), nothing);
    // … or list its children …
    let table = file("room/mod.rs", "mod a; mod b; pub struct Shared; static ALL: &[Shared] = &[a::ITEM, b::ITEM];");
    assert_eq!(found(&[child.clone(), table]), nothing);
    // … but not work with them.
    let works = file("room/mod.rs", "mod a; use self::a::A; pub struct Shared; fn f() -> A { A(Shared) }");
    assert_eq!(found(&[child.clone(), works]), [["room/a.rs", "room/mod.rs"]]);
    // The parts of one thing, in the folder of its name.
    let thing = file("room/a.rs", "mod part; pub struct A; fn f() { part::step(&A) }");
    let part = file("room/a/part.rs", "use super::A; pub fn step(_: &A) {}");
    assert_eq!(found(&[thing, part]), nothing);
    // Unit tests may name what they like, and rooms are held apart elsewhere.
    let tested = file("room/b.rs", "pub struct B; #[cfg(test)] mod tests { use super::super::a::A; fn f(_: A) {} }");
    let names = file("room/a.rs", "pub struct A(super::b::B);");
    assert_eq!(found(&[names, tested, facade]), nothing);
    let other = file("other.rs", "pub struct Other(crate::room::a::A);");
    assert_eq!(found(&[file("room/a.rs", "pub struct A(crate::other::Other);"), other]), nothing);
}
