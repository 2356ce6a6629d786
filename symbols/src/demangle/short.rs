//! Names for a narrow column: without parameters and return type, long template arguments folded.

/// Template arguments of a part of the path longer than this are folded to `<…>`.
const MAX_ARGUMENTS: usize = 24;
/// A name still longer than this, in characters, loses its middle.
const MAX_NAME: usize = 96;

/// Source: Itanium C++ ABI §5.1.4, "Special Names", as c++filt spells them.
const MADE_FOR: [&str; 11] = [
    "vtable for ",
    "VTT for ",
    "construction vtable for ",
    "typeinfo for ",
    "typeinfo name for ",
    "guard variable for ",
    "non-virtual thunk to ",
    "virtual thunk to ",
    "covariant return thunk to ",
    "TLS init function for ",
    "TLS wrapper function for ",
];

/// The part of a demangled name that tells: scope and function without return type and parameters, long template arguments as `<…>`.
/// The full name stays what it is elsewhere; this one is for display.
pub fn short_name(full: &str) -> String {
    // What a compiler made for something is told by these words in front of its name.
    let first = full.bytes().next();
    let likely = MADE_FOR.iter().filter(|words| words.bytes().next() == first);
    let made_for = likely.filter_map(|words| Some((*words, full.strip_prefix(words)?))).next();
    if let Some((words, of)) = made_for {
        return shorten_middle(&format!("{words}{}", short_name_of(of)));
    }
    short_name_of(full)
}

fn short_name_of(full: &str) -> String {
    let name = without_parameters(full);
    let name = without_return_type(name);
    shorten_middle(&fold_arguments(name))
}

/// Brackets as they open and close in a C++ name. The `<`, `>` and `()` of operators are no brackets.
struct Walk<'a> {
    text: &'a str,
    depth: usize,
    at: usize,
}

impl Walk<'_> {
    /// Next character with the byte offset it starts at and the depth around it; operators' own brackets are skipped as one.
    fn next(&mut self) -> Option<(usize, char, usize)> {
        let rest = self.text.get(self.at..)?;
        let start = self.at;
        if let Some(length) = operator_length(self.text, start) {
            self.at = start.saturating_add(length);
            return Some((start, 'o', self.depth));
        }
        let first = rest.chars().next()?;
        let around = self.depth;
        match first {
            '<' | '(' | '[' | '{' => self.depth = self.depth.saturating_add(1),
            // The arrow of a trailing return type and of `Fn() -> T` closes nothing.
            '>' if self.text.get(..start).is_some_and(|before| before.ends_with('-')) => {}
            '>' | ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.at = start.saturating_add(first.len_utf8());
        Some((start, first, around))
    }
}

fn walk(text: &str) -> impl Iterator<Item = (usize, char, usize)> {
    let mut walk = Walk { text, depth: 0, at: 0 };
    std::iter::from_fn(move || walk.next())
}

/// The length of `operator` and its symbol, if one starts at `at`.
fn operator_length(text: &str, at: usize) -> Option<usize> {
    const SYMBOLS: [&str; 14] = ["()", "<<=", ">>=", "<=>", "->*", "<<", ">>", "<=", ">=", "->", "[]", "<", ">", "-"];
    // Asked of each character of a million names.
    if text.as_bytes().get(at) != Some(&b'o') {
        return None;
    }
    let rest = text.get(at..)?.strip_prefix("operator")?;
    let before = text.get(..at)?.chars().next_back();
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
    symbol.map(|symbol| symbol.len().saturating_add("operator".len()))
}

/// Cuts at the parenthesis that opens the parameters: the first one outside all brackets that follows a name. What is inside
/// `(anonymous namespace)` or before `::` is scope: `f(int)::{lambda()#1}::operator()(int)` loses its last pair only.
fn without_parameters(full: &str) -> &str {
    let mut open = None;
    let mut last_scope = 0;
    let mut previous = '\0';
    for (at, c, depth) in walk(full) {
        if depth == 0 && c == ':' && previous == ':' {
            last_scope = at;
        }
        // A parenthesis that starts a part of the path is `(anonymous namespace)`.
        if depth == 0 && c == '(' && at > 0 && previous != ':' && previous != ' ' {
            open = Some((at, last_scope));
        }
        previous = c;
    }
    match open {
        // Parameters that a scope follows belong to that scope.
        Some((at, scope)) if scope == last_scope => full.get(..at).unwrap_or(full),
        _ => full,
    }
}

/// Cuts what stands before the last space outside all brackets, unless the space belongs to `operator bool` or the like.
fn without_return_type(name: &str) -> &str {
    let mut start = 0;
    for (at, c, depth) in walk(name) {
        if c != ' ' {
            continue;
        }
        let rest = name.get(at.saturating_add(1)..).unwrap_or_default();
        let before = name.get(..at).unwrap_or_default();
        let keeps = before.ends_with("operator") || before.ends_with(" as") || rest.starts_with("as ");
        // `f() const::g`: the qualifier is that of a function that is the scope.
        let keeps = keeps || (before.ends_with([')', '&']) || before.ends_with("const")) && is_qualifier(rest);
        if depth == 0 && !keeps && !rest.is_empty() && !rest.starts_with(['(', '[', '<']) {
            start = at.saturating_add(1);
        }
        if before.ends_with("operator") {
            break;
        }
    }
    name.get(start..).unwrap_or(name)
}

/// Whether a text begins with a function's qualifier, and the scope or another one behind it.
fn is_qualifier(text: &str) -> bool {
    let behind = ["const", "volatile", "&&", "&"].iter().find_map(|qualifier| text.strip_prefix(qualifier));
    behind.is_some_and(|behind| behind.starts_with("::") || behind.starts_with(' '))
}

/// Replaces long template arguments. A Rust path that begins with `<T as Trait>` keeps it: it is the scope, not an argument.
fn fold_arguments(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut group: Option<usize> = None;
    for (at, c, depth) in walk(name) {
        let end = at.saturating_add(c.len_utf8());
        match (group, c) {
            (None, '<') if depth == 0 && at > 0 => group = Some(at),
            (Some(start), '>') if depth == 1 => {
                let text = name.get(start..end).unwrap_or_default();
                if text.chars().count() > MAX_ARGUMENTS {
                    out.push_str("<…>");
                } else {
                    out.push_str(text);
                }
                group = None;
            }
            (None, 'o') if depth == 0 && operator_length(name, at).is_some() => {
                let length = operator_length(name, at).unwrap_or(1);
                out.push_str(name.get(at..at.saturating_add(length)).unwrap_or_default());
            }
            (None, c) => out.push(c),
            (Some(_), _) => {}
        }
    }
    if let Some(start) = group {
        out.push_str(name.get(start..).unwrap_or_default());
    }
    out
}

fn shorten_middle(name: &str) -> String {
    let count = name.chars().count();
    if count <= MAX_NAME {
        return name.to_owned();
    }
    let half = MAX_NAME / 2;
    let head: String = name.chars().take(half).collect();
    let tail: String = name.chars().skip(count.saturating_sub(half.saturating_sub(1))).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_is_kept_and_the_rest_is_dropped() {
        let cases = [
            ("main", "main"),
            ("pool::Worker::run(int)", "pool::Worker::run"),
            ("void pool::visit<int>(std::vector<int, std::allocator<int> > const&)", "pool::visit<int>"),
            ("(anonymous namespace)::work()", "(anonymous namespace)::work"),
            ("std::vector<int, std::allocator<int> >::push_back(int&&)", "std::vector<…>::push_back"),
            ("std::ostream& operator<< <char>(std::ostream&, char)", "operator<< <char>"),
            ("Shop::operator bool() const", "Shop::operator bool"),
            ("Shop::operator()(int) const", "Shop::operator()"),
            ("f(int)::{lambda(int)#1}::operator()(int) const", "f(int)::{lambda(int)#1}::operator()"),
            ("f(int)::inner", "f(int)::inner"),
            ("f() const::{lambda(int)#1}::_FUN(int)", "f() const::{lambda(int)#1}::_FUN"),
            ("a::{lambda()#2}::operator()() const &::g", "a::{lambda()#2}::operator()() const &::g"),
            ("char const* f()", "f"),
            ("<alloc::vec::Vec<T> as core::ops::Drop>::drop", "<alloc::vec::Vec<T> as core::ops::Drop>::drop"),
            (
                "core::ops::function::FnOnce::call_once{{vtable.shim}}",
                "core::ops::function::FnOnce::call_once{{vtable.shim}}",
            ),
            ("vtable for std::runtime_error", "vtable for std::runtime_error"),
            ("typeinfo name for (anonymous namespace)::Foo", "typeinfo name for (anonymous namespace)::Foo"),
            ("guard variable for f(int)::lock", "guard variable for f(int)::lock"),
            ("non-virtual thunk to shop::Order::run()", "non-virtual thunk to shop::Order::run"),
            ("operator new[](unsigned long)", "operator new[]"),
            ("Foo::operator std::vector<int>() const", "Foo::operator std::vector<int>"),
            ("decltype (fp(fp0)) call<int>(int)", "call<int>"),
            ("a<b<c> >::operator->() const", "a<b<c> >::operator->"),
            ("bool operator==<int>(Foo<int> const&, Foo<int> const&)", "operator==<int>"),
            ("foo[abi:cxx11](int)", "foo[abi:cxx11]"),
            ("write@plt", "write@plt"),
            ("<std::thread::Builder>::spawn::<demo::run::{closure#0}, ()>", "<std::thread::Builder>::spawn::<…>"),
            ("a<b", "a<b"),
            ("", ""),
            ("()", "()"),
        ];
        for (full, short) in cases {
            assert_eq!(short_name(full), short, "{full}");
        }
    }

    #[test]
    fn any_text_gives_a_short_text() {
        for text in
            ["(((((", ">>>>>", "operator", "operator<", "a::", "<<>>::((", &"é<".repeat(500), &"x::".repeat(500)]
        {
            assert!(short_name(text).chars().count() <= MAX_NAME, "{text}");
        }
    }
}
