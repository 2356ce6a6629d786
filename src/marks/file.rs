//! What an ELF file's symbols and bytes tell about the runtime in it.

use rustc_hash::FxHashMap;
use symbols::{Elf, FileBytes, Svma};

use super::{go, version};
use crate::model::RuntimeKind;

/// Symbols that an executable exports because it holds a runtime, and what they say. Modules that are loaded later call
/// them.
const EXPORTS: &[(&str, RuntimeKind, &str)] = &[
    ("DotNetRuntimeInfo", RuntimeKind::Dotnet, "exports DotNetRuntimeInfo: a single-file program"),
    ("DotNetRuntimeDebugHeader", RuntimeKind::DotnetNativeaot, "exports DotNetRuntimeDebugHeader"),
    ("_ZN4node5StartEiPPc", RuntimeKind::Node, "exports node::Start"),
    ("Py_GetVersion", RuntimeKind::Python, "exports Py_GetVersion"),
    ("ruby_version", RuntimeKind::Ruby, "exports ruby_version"),
    ("php_module_startup", RuntimeKind::Php, "exports php_module_startup"),
    ("enif_priv_data", RuntimeKind::Erlang, "exports enif_priv_data"),
    ("perl_alloc", RuntimeKind::Perl, "exports perl_alloc"),
    ("luaopen_jit", RuntimeKind::Luajit, "exports luaopen_jit"),
    // LuaJIT has it, too.
    ("luaL_newstate", RuntimeKind::Lua, "exports luaL_newstate"),
    ("mono_jit_init", RuntimeKind::Mono, "exports mono_jit_init"),
];

/// All symbols that are looked for: those above, and those that lead to a version.
pub const NAMES: &[&str] = &[
    "DotNetRuntimeInfo",
    "DotNetRuntimeDebugHeader",
    "_ZN4node5StartEiPPc",
    "Py_GetVersion",
    "Py_Version",
    "_PyRuntime",
    "coreclr_initialize",
    "ruby_version",
    "php_module_startup",
    "enif_priv_data",
    "perl_alloc",
    "luaopen_jit",
    "luaL_newstate",
    "lua_ident",
    "mono_jit_init",
    "JNI_CreateJavaVM",
];
/// Most dynamic symbols looked at; Chromium has 30,000, Node 70,000.
const MAX_SYMBOLS: usize = 1 << 20;
/// Largest file that is searched for a version's text; Node and Electron are 100 to 180 MB.
const MAX_SEARCHED: usize = 512 << 20;
/// Longest version text behind a symbol, in bytes.
const MAX_TEXT: u64 = 64;

/// The marks of one file.
#[derive(Debug, Default)]
pub struct Marks {
    defined: FxHashMap<&'static str, Svma>,
    go: Option<Option<String>>,
    versions: Vec<(RuntimeKind, String)>,
}

/// A runtime that a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub kind: RuntimeKind,
    /// Its version, where the file tells it.
    pub version: Option<String>,
    /// What it was recognised by: `exports Py_GetVersion`.
    pub evidence: &'static str,
}

impl Marks {
    /// The marks of a file; its dynamic symbols are searched.
    pub fn of_file(bytes: FileBytes) -> Marks {
        let Ok(elf) = Elf::parse(bytes) else { return Marks::default() };
        let marks = Marks::new(&elf, defined(&elf).unwrap_or_default());
        elf.bytes().forget_pages();
        marks
    }

    /// The marks of a file in which these of [`NAMES`] are known to stand.
    pub fn new(elf: &Elf, defined: FxHashMap<&'static str, Svma>) -> Marks {
        let all = elf.bytes();
        let searched = all.get(..MAX_SEARCHED).unwrap_or(all);
        let at = |name: &str, len: u64| elf.bytes_at(*defined.get(name)?, len);
        let text = |name: &str| at(name, MAX_TEXT).or_else(|| at(name, 8));
        let has = |name: &str| defined.contains_key(name);
        let mut versions = Vec::new();
        let mut know = |kind, version: Option<String>| versions.extend(version.map(|version| (kind, version)));
        if has("DotNetRuntimeInfo") || has("coreclr_initialize") {
            know(RuntimeKind::Dotnet, version::in_coreclr(searched));
        }
        if has("DotNetRuntimeDebugHeader") {
            know(RuntimeKind::DotnetNativeaot, version::in_nativeaot(searched));
        }
        if has("JNI_CreateJavaVM") {
            know(RuntimeKind::Jvm, version::in_hotspot(searched));
        }
        if has("_ZN4node5StartEiPPc") {
            know(RuntimeKind::Node, version::in_node(searched));
        }
        let hex = at("Py_Version", 8).and_then(|bytes| bytes.first_chunk());
        know(RuntimeKind::Python, hex.and_then(|bytes| version::of_python_hex(u64::from_le_bytes(*bytes))));
        know(RuntimeKind::Ruby, text("ruby_version").and_then(version::leading));
        if has("php_module_startup") {
            know(RuntimeKind::Php, version::behind(searched, b"X-Powered-By: PHP/"));
        }
        if has("enif_priv_data") {
            know(RuntimeKind::Erlang, version::behind(searched, b"(BEAM) emulator version "));
        }
        if has("perl_alloc") {
            know(RuntimeKind::Perl, version::in_perl(searched));
        }
        if has("luaopen_jit") {
            know(RuntimeKind::Luajit, version::behind(searched, b"LuaJIT "));
        }
        know(RuntimeKind::Lua, text("lua_ident").and_then(|text| version::behind(text, b"Lua ")));
        let go = go::build(elf).or_else(|| elf.go_table().is_some().then_some(None));
        Marks { go: go.map(|version| version.or_else(|| go::by_variable(elf))), versions, defined }
    }

    /// Whether the file defines that symbol.
    pub fn has(&self, name: &str) -> bool {
        self.defined.contains_key(name)
    }

    /// Where that symbol stands in the file.
    pub fn symbol(&self, name: &str) -> Option<Svma> {
        self.defined.get(name).copied()
    }

    /// The version of a runtime, where the file tells it.
    pub fn version(&self, kind: RuntimeKind) -> Option<&str> {
        if kind == RuntimeKind::Go {
            return self.go.as_ref()?.as_deref();
        }
        self.versions.iter().find(|(known, _)| *known == kind).map(|(_, version)| version.as_str())
    }

    /// Whether the file was made by Go.
    pub fn is_go(&self) -> bool {
        self.go.is_some()
    }

    /// The runtimes that a file holds which is an executable.
    pub fn of_executable(&self) -> Vec<Found> {
        let exports = of_exports(|name| self.has(name));
        let go = self.is_go().then_some((RuntimeKind::Go, "was made by Go"));
        let version = |kind| self.version(kind).map(str::to_owned);
        exports.chain(go).map(|(kind, evidence)| Found { kind, version: version(kind), evidence }).collect()
    }
}

/// The runtimes that an executable holds which exports these of [`NAMES`], each with what says so.
pub fn of_exports(has: impl Fn(&str) -> bool) -> impl Iterator<Item = (RuntimeKind, &'static str)> {
    let holds = move |(name, kind, _): &&(&str, RuntimeKind, &str)| {
        has(name) && (*kind != RuntimeKind::Lua || !has("luaopen_jit"))
    };
    EXPORTS.iter().filter(holds).map(|(_, kind, evidence)| (*kind, *evidence))
}

/// Which of [`NAMES`] the dynamic symbol table defines, and where.
// Source: System V ABI (gABI), "Symbol Table": st_name 4 bytes, st_info 1, st_other 1, st_shndx 2 (0: undefined),
// st_value 8, st_size 8.
fn defined(elf: &Elf) -> Option<FxHashMap<&'static str, Svma>> {
    const ENTRY: usize = 24;
    let table = elf.section(".dynsym").ok()??;
    let names = elf.section(".dynstr").ok()??;
    let wanted: Vec<(usize, &'static str)> = NAMES
        .iter()
        .filter_map(|name| {
            let needle = [b"\0", name.as_bytes(), b"\0"].concat();
            Some((memchr::memmem::find(&names.bytes, &needle)?.checked_add(1)?, *name))
        })
        .collect();
    let mut found = FxHashMap::default();
    if wanted.is_empty() || !elf.is_64() || !elf.is_little_endian() {
        return Some(found);
    }
    for entry in table.bytes.as_chunks::<ENTRY>().0.iter().take(MAX_SYMBOLS) {
        let name = usize::try_from(u32::from_le_bytes(*entry.first_chunk()?)).ok()?;
        let Some((_, name)) = wanted.iter().find(|(at, _)| *at == name) else { continue };
        let section = u16::from_le_bytes(*entry.get(6..8)?.first_chunk()?);
        if section != 0 {
            found.insert(*name, Svma(u64::from_le_bytes(*entry.get(8..16)?.first_chunk()?)));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_export_is_looked_for() {
        for (name, ..) in EXPORTS {
            assert!(NAMES.contains(name), "{name}");
        }
    }

    #[test]
    fn damaged_files_do_no_harm() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        // The headers and tables that are read; the rest of a test program is large and never looked at.
        let mut file = whole;
        file.truncate(1 << 20);
        let mut seed = 1u64;
        for _ in 0..300 {
            let mut damaged = file.clone();
            for _ in 0..8 {
                // xorshift64: Marsaglia 2003.
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let [low, high, value, ..] = seed.to_le_bytes();
                let at = usize::from(u16::from_le_bytes([low, high])) % 4096;
                damaged[at] = value;
            }
            let _ = Marks::of_file(FileBytes::from_vec(damaged));
        }
    }
}
