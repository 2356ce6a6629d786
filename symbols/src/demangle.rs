//! Names as their source has them: C++ (Itanium ABI) and Rust (legacy and v0), demangled within bounds.

mod short;

use std::borrow::Cow;
use std::fmt;

pub use self::short::short_name;

/// Longer names are not demangled. Real ones stay below; hostile ones cost time.
const MAX_MANGLED: usize = 16 << 10;
/// A mangled name can repeat its parts, so that a short one stands for a text of any length. No longer text is made.
const MAX_DEMANGLED: usize = 32 << 10;
/// What is shown of a name that is too long to demangle.
const MAX_RAW: usize = 4 << 10;
/// Depth to which a C++ name may nest.
const MAX_DEPTH: u32 = 96;

/// The full name with its scope, template arguments and parameters as `c++filt` prints them; Rust names without their hash. A name that
/// is not mangled, or not validly, is given back as it is; `@plt` stays behind; one beyond the bounds is cut and ends in `…`.
pub fn demangle(raw: &str) -> Cow<'_, str> {
    if raw.len() > MAX_MANGLED {
        return cut(raw);
    }
    match raw.strip_suffix("@plt") {
        Some(function) => Cow::Owned(format!("{}@plt", unmangled(function))),
        None => unmangled(raw),
    }
}

fn unmangled(raw: &str) -> Cow<'_, str> {
    match rust(raw).or_else(|| cpp(raw)) {
        Some(name) => Cow::Owned(name),
        None => cut(raw),
    }
}

/// A demangled name without the part that says which of a function's copies it is: `f(int) [clone .constprop.0]`.
pub(crate) fn without_clone(demangled: &str) -> &str {
    demangled.split(" [clone ").next().unwrap_or(demangled)
}

fn cut(raw: &str) -> Cow<'_, str> {
    if raw.len() <= MAX_RAW {
        return Cow::Borrowed(raw);
    }
    let end = raw.char_indices().map(|(at, _)| at).take_while(|at| *at <= MAX_RAW).last().unwrap_or(0);
    let head = raw.get(..end).unwrap_or_default();
    Cow::Owned(format!("{head}…"))
}

fn rust(raw: &str) -> Option<String> {
    // Rust's older names are C++'s with a hash for the last part: without one it is a name of C++.
    if raw.trim_start_matches('_').starts_with("ZN") && !has_hash(raw) {
        return None;
    }
    let name = rustc_demangle::try_demangle(raw).ok()?;
    let mut out = Bounded::default();
    fmt::write(&mut out, format_args!("{name:#}")).ok()?;
    Some(out.text)
}

/// `17h` and sixteen hexadecimal digits before the end. Source: rustc, symbol_mangling/legacy.rs.
fn has_hash(raw: &str) -> bool {
    raw.match_indices("17h").any(|(at, _)| {
        let hash = raw.as_bytes().get(at.saturating_add(3)..).unwrap_or_default();
        hash.get(..16).is_some_and(|hash| hash.iter().all(u8::is_ascii_hexdigit)) && hash.get(16) == Some(&b'E')
    })
}

fn cpp(raw: &str) -> Option<String> {
    // Mangled names begin with _Z; some platforms and blocks add underscores.
    let start = raw.trim_start_matches('_');
    if !start.starts_with('Z') || raw.len() == start.len() {
        return None;
    }
    let parse = cpp_demangle::ParseOptions::default().recursion_limit(MAX_DEPTH);
    let print = cpp_demangle::DemangleOptions::new().recursion_limit(MAX_DEPTH);
    let symbol = cpp_demangle::Symbol::new_with_options(raw.as_bytes(), &parse).ok()?;
    let mut out = Bounded::default();
    symbol.structured_demangle(&mut out, &print).ok()?;
    Some(out.text)
}

/// Text that refuses to grow past [`MAX_DEMANGLED`].
#[derive(Default)]
struct Bounded {
    text: String,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.text.len().saturating_add(part.len()) > MAX_DEMANGLED {
            return Err(fmt::Error);
        }
        self.text.push_str(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_three_schemes_are_demangled() {
        // Expected texts: c++filt 2.40 and rustfilt 0.2.
        let cases = [
            ("_ZN4pool6Worker3runEi", "pool::Worker::run(int)"),
            ("_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector<int, std::allocator<int> >::push_back(int&&)"),
            ("_ZN12_GLOBAL__N_14workEv", "(anonymous namespace)::work()"),
            ("_ZN12_GLOBAL__N_114emergency_poolE", "(anonymous namespace)::emergency_pool"),
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
            ("_RNvC7mycrate3foo", "mycrate::foo"),
            ("main", "main"),
            ("_Z9short", "_Z9short"),
            ("", ""),
        ];
        for (raw, expected) in cases {
            assert_eq!(demangle(raw), expected, "{raw}");
        }
    }

    #[test]
    fn names_that_double_with_every_letter_end_at_the_bound() {
        // Each S<n>_ repeats all that came before it: 2^40 bytes if it were printed.
        let mut raw = String::from("_Z1fISt4pairIiiE");
        for digit in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".chars() {
            raw.push_str(&format!("St4pairIS{digit}_S{digit}_E"));
        }
        raw.push_str("EvT_");
        assert!(demangle(&raw).len() <= MAX_DEMANGLED);
    }

    #[test]
    fn long_and_deep_names_are_cut_not_followed() {
        let long = "x".repeat(1 << 20);
        let shown = demangle(&long);
        assert!(shown.len() < 5000 && shown.ends_with('…'));
        let deep = format!("_Z1f{}i", "P".repeat(16000));
        assert!(demangle(&deep).ends_with('…'));
        let cut_inside_a_character = "é".repeat(4096);
        assert!(demangle(&cut_inside_a_character).ends_with('…'));
    }
}
