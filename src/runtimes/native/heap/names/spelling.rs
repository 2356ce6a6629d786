//! Names of types as a reader wants them: without what a container was given by default.

/// Types that are passed on by default, and left out.
const DEFAULTS: [&str; 8] = [
    "std::allocator<",
    "std::default_delete<",
    "std::less<",
    "std::hash<",
    "std::equal_to<",
    "std::char_traits<",
    "alloc::alloc::Global",
    "std::hash::random::RandomState",
];
/// Arguments within arguments that are looked at.
const MAX_DEPTH: usize = 24;

/// The name with inline namespaces and default arguments left out: `std::vector<shop::Order*>`.
pub(super) fn simple(name: &str) -> String {
    simple_at(name, 0)
}

fn simple_at(name: &str, depth: usize) -> String {
    let name = without_versions(name);
    let Some((head, inside, tail)) = split(&name).filter(|_| depth < MAX_DEPTH) else { return name };
    let kept = |argument: &&str| !DEFAULTS.iter().any(|default| argument.starts_with(default));
    let arguments: Vec<String> = arguments(inside)
        .into_iter()
        .filter(kept)
        .map(|argument| simple_at(argument, depth.saturating_add(1)))
        .collect();
    let tail = simple_at(tail, depth.saturating_add(1));
    if head == "std::basic_string" && arguments == ["char"] {
        return format!("std::string{tail}");
    }
    match (head, arguments.is_empty()) {
        ("(" | "", _) | (_, false) => format!("{head}<{}>{tail}", arguments.join(", ")),
        (_, true) => format!("{head}{tail}"),
    }
}

/// `std::vector<shop::Order*>` for what libraries call `std::__cxx11::…`, `std::__1::…`.
pub(super) fn without_versions(name: &str) -> String {
    name.replace("std::__cxx11::", "std::").replace("std::__1::", "std::")
}

/// Before the first bracket, what is in it, and what comes behind.
fn split(name: &str) -> Option<(&str, &str, &str)> {
    let open = name.find('<')?;
    let mut depth = 0usize;
    let mut before = ' ';
    for (at, c) in name.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '<' => depth = depth.saturating_add(1),
            '>' if before != '-' => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = c;
        if depth == 0 {
            return Some((name.get(..open)?, name.get(open.saturating_add(1)..at)?, name.get(at.saturating_add(1)..)?));
        }
    }
    None
}

/// What a template was given, as its name has it.
pub(super) fn arguments_of(name: &str) -> Vec<&str> {
    split(name).map(|(_, inside, _)| arguments(inside)).unwrap_or_default()
}

fn arguments(inside: &str) -> Vec<&str> {
    let (mut found, mut depth, mut start, mut before) = (Vec::new(), 0usize, 0, ' ');
    for (at, c) in inside.char_indices() {
        match c {
            '<' | '(' | '[' | '{' => depth = depth.saturating_add(1),
            '>' if before == '-' => {}
            '>' | ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.extend(inside.get(start..at));
                start = at.saturating_add(1);
            }
            _ => {}
        }
        before = c;
    }
    found.extend(inside.get(start..));
    found.into_iter().map(str::trim).filter(|argument| !argument.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_by_default_is_left_out() {
        let names = [
            ("std::vector<shop::Order*, std::allocator<shop::Order*> >", "std::vector<shop::Order*>"),
            (
                "std::map<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, int, \
                 std::less<int>, std::allocator<std::pair<int const, int> > >",
                "std::map<std::string, int>",
            ),
            ("alloc::vec::Vec<u8, alloc::alloc::Global>", "alloc::vec::Vec<u8>"),
            ("std::unique_ptr<int, shop::Closer>", "std::unique_ptr<int, shop::Closer>"),
            ("int", "int"),
            ("std::function<int(std::vector<int>, char)>", "std::function<int(std::vector<int>, char)>"),
            ("unclosed<int", "unclosed<int"),
        ];
        for (name, expected) in names {
            assert_eq!(simple(name), expected);
        }
    }

    #[test]
    fn arguments_are_split_outside_of_brackets() {
        assert_eq!(
            arguments_of("std::map<std::pair<int, int>, fn(u8, u8) -> u8, 3>"),
            ["std::pair<int, int>", "fn(u8, u8) -> u8", "3"]
        );
        assert_eq!(arguments_of("int"), [""; 0]);
    }
}
