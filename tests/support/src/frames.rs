//! Stacks as `stack --json` prints them, held against the functions that a fixture's source dictates.

use serde_json::Value;

/// A thread's stack: the parts that tests compare.
#[derive(Debug, Clone)]
pub struct Stack {
    /// OS thread id.
    pub tid: u64,
    /// Frames innermost first, as printed.
    pub frames: Vec<Value>,
    /// Why the walk ended.
    pub end: String,
}

impl Stack {
    /// All stacks of the `data` of `stack`.
    pub fn all(data: &Value) -> Vec<Stack> {
        let threads = data["threads"].as_array().unwrap_or_else(|| panic!("no threads in {data}"));
        let stack = |thread: &Value| Stack {
            tid: thread["tid"].as_u64().expect("a tid"),
            frames: thread["frames"].as_array().expect("frames").clone(),
            end: thread["end"].as_str().expect("an end").to_owned(),
        };
        threads.iter().map(stack).collect()
    }

    /// Names of the functions, innermost first; `?` where there is none.
    pub fn functions(&self) -> Vec<&str> {
        self.frames.iter().map(|frame| frame["function"].as_str().unwrap_or("?")).collect()
    }

    /// Whether these functions stand on the stack one after the other. `expected` is an array of patterns (see [`is_named`]).
    pub fn has_run(&self, expected: &Value) -> bool {
        self.run_at(expected).is_some()
    }

    /// Where in the frames the run starts.
    pub fn run_at(&self, expected: &Value) -> Option<usize> {
        let expected: Vec<&str> = expected.as_array()?.iter().filter_map(Value::as_str).collect();
        let functions = self.functions();
        (0..=functions.len().checked_sub(expected.len())?)
            .find(|at| functions.iter().skip(*at).zip(&expected).all(|(function, pattern)| is_named(function, pattern)))
    }
}

/// Whether a function's full name is that of `pattern`: parameters, a return type and `const` do not count; `a|b` is either;
/// `*` stands for any text.
pub fn is_named(function: &str, pattern: &str) -> bool {
    let name = without_parameters(function);
    pattern.split('|').any(|pattern| {
        // The name of an instance of a function template starts with its return type.
        let ends = name.match_indices(' ').map(|(at, _)| &name[at + 1..]);
        std::iter::once(name).chain(ends).any(|name| is_like(name, pattern))
    })
}

/// Cuts `(int) const` off `shop::Book<(Kind)1>::enter(int) const`: the first parenthesis outside of any bracket that opens
/// parameters, not that of `(anonymous namespace)` or `operator()`.
fn without_parameters(function: &str) -> &str {
    let mut depth = 0_usize;
    for (at, letter) in function.char_indices() {
        let before = &function[..at];
        match letter {
            '<' | '{' | '[' if !before.ends_with("operator") => depth += 1,
            '>' | '}' | ']' if !before.ends_with('-') => depth = depth.saturating_sub(1),
            '(' if depth == 0 && function[at..].starts_with("(anonymous namespace)") => {}
            '(' if depth == 0 && !before.ends_with("operator") && !before.is_empty() => return before,
            _ => {}
        }
    }
    function
}

/// `*` in the pattern stands for any text.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((start, end)) = pattern.split_once('*') else { return text == pattern };
    text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_compared_without_parameters_and_return_type() {
        assert!(is_named("serve", "serve"));
        assert!(is_named("serve(char const*)", "serve"));
        assert!(is_named("void hold_mutex<1>(pthread_mutex_t*)", "hold_mutex<1>"));
        assert!(is_named("shop::Book<std::string, int>::enter(int) const", "shop::Book<*>::enter"));
        assert!(is_named("<T as Till>::close", "Till::close|<T as Till>::close"));
        assert!(!is_named("observe(int)", "serve"));
        assert!(!is_named("shop::serve()", "serve"));
    }
}
