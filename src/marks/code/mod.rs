//! Which code belongs to the C library, to a language's runtime or to its standard library: by module, and by name where a static
//! executable holds all of them itself. One list for each language; a runtime that knows its own frames better says so itself
//! (`Runtime::is_own`).

mod c;
mod cxx;
mod go;
mod names;
mod rust;

use std::sync::LazyLock;

use rustc_hash::FxHashSet;

use crate::model::frame::path;
use names::Names;

/// Every language whose code is told from a program's.
const LANGUAGES: [&Names; 4] = [&c::NAMES, &cxx::NAMES, &rust::NAMES, &go::NAMES];

static PLAIN: LazyLock<FxHashSet<&str>> = LazyLock::new(|| c::PLAIN.iter().copied().collect());

/// Whether a name begins with one of those that `of` gives for a language.
fn begins(name: &str, of: fn(&Names) -> &'static [&'static str]) -> bool {
    LANGUAGES.iter().any(|language| of(language).iter().any(|beginning| name.starts_with(beginning)))
}

/// Whether a module of this file name belongs to the runtime.
pub fn is_runtime_library(file_name: &str) -> bool {
    begins(file_name, |names| names.libraries)
}

/// Whether a function of this full name belongs to the runtime. `in_executable`: the executable holds its C library itself,
/// so that a plain `read` is not the program's own.
pub fn is_runtime_function(name: &str, in_executable: bool) -> bool {
    let path = path(name);
    if path.contains("::") {
        return begins(path, |names| names.scopes);
    }
    let plain = || PLAIN.contains(path) || c::PLAIN_PREFIXES.iter().any(|prefix| path.starts_with(prefix));
    path == "_start" || begins(path, |names| names.functions) || (in_executable && plain())
}

/// Whether a function only starts the program or a thread: what calls `main`.
pub fn is_start(function: &str) -> bool {
    function.contains(rust::BEGIN) || LANGUAGES.iter().any(|names| names.starts.contains(&function))
}

/// Whether a function is the program's first: what calls it, a language's start-up, tells nothing.
pub fn is_main(function: &str) -> bool {
    matches!(function, "main" | "main.main") || function.ends_with("::main")
}

/// Whether a function only hands a call on: between what a program's author wrote, such frames tell nothing.
pub fn is_glue(function: &str) -> bool {
    let has = |names: &&Names| names.glue_parts.iter().any(|part| function.contains(part));
    begins(function, |names| names.glue) || LANGUAGES.iter().any(has)
}

/// Whether a source file is a header of the system, or of Rust's standard library: what it defines was inlined from there.
// Source: Filesystem Hierarchy Standard 3.0, section 4.5; GCC's own headers are below /usr/lib/gcc; rustc maps its library's
// sources to /rustc/COMMIT, or to those that rustup installed.
pub fn is_system_header(file: &str) -> bool {
    ["/usr/include/", "/usr/lib/gcc/", "/rustc/"].iter().any(|folder| file.starts_with(folder))
        || file.contains("/lib/rustlib/src/rust/library/")
}

/// Whether code is the program's own, and not that of a runtime or of a library without source. `module` is a file name,
/// `function` a full name; `has_source`: debug information names the source file.
pub fn is_own_code(module: Option<&str>, function: Option<&str>, has_source: bool) -> bool {
    // A function of the C library in a static executable has no debug information: its plain name decides.
    let of_runtime = module.is_some_and(is_runtime_library)
        || function.is_some_and(|function| is_runtime_function(function, !has_source));
    !of_runtime && (has_source || module.is_some_and(|module| !module.contains(".so") && !module.starts_with('[')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_libraries_are_the_runtime_and_the_program_is_not() {
        let runtime = [
            "std::mutex::lock()",
            "void std::__invoke_impl<void, void (*)()>(std::__invoke_other, void (*&&)())",
            "core::ops::function::FnOnce::call_once",
            "<std::sys::sync::mutex::futex::Mutex>::lock_contended",
            "__gthread_mutex_lock(pthread_mutex_t*)",
        ];
        for name in runtime {
            assert!(is_runtime_function(name, false), "{name}");
        }
        for name in
            ["reserve", "shop::Pool<shop::Order>::run()", "reader", "shop::__detail()", "main", "shop::std::run()"]
        {
            assert!(!is_runtime_function(name, true), "{name}");
        }
    }

    #[test]
    fn the_runtime_of_go_is_the_runtime_and_a_package_is_not() {
        for name in ["runtime.gopanic", "runtime.(*mheap).alloc", "sync.(*Mutex).Unlock", "internal/poll.(*FD).Read"] {
            assert!(is_runtime_function(name, false), "{name}");
        }
        for name in ["main.price", "main.main.func1", "example.org/shop/stock.(*Shelf).Take", "runtimes.run", "sync"] {
            assert!(!is_runtime_function(name, true), "{name}");
        }
    }

    #[test]
    fn a_plain_name_of_the_c_library_is_the_programs_own_where_the_library_is_apart() {
        assert!(is_runtime_function("read", true));
        assert!(!is_runtime_function("read", false));
    }
}
