//! Where a module's files are, and whether they are the right ones.
//!
//! Every file is verified before it is handed out: its build id, its machine, that it holds what was asked for. What was tried and why it
//! was refused is part of the answer. Names that a dump or a debug file states are used by their last component, or below a root that
//! the user configured; a recorded module path is opened as such only because its build id is checked.

mod answer;
mod contents;
mod layouts;
mod libraries;
mod managed;
mod open;
mod search;
mod store;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

pub use self::answer::{Attempt, Located, Outcome, Place, Remembered};
pub use self::contents::{Comparison, Contents};
pub use self::managed::WantedPdb;
pub use self::open::Fetch;
pub use self::store::{Content, Key, Store};

use self::search::Search;
use self::store::{Beside, By, Directory, Layout, Machine as MachineFiles};

use crate::{BuildId, Elf, Machine, ModuleId};

/// Where module files are looked for.
#[derive(Clone, Debug)]
pub struct Locator {
    /// Where the dumped machine's files are: recorded paths are looked up below it first.
    pub sysroot: Option<PathBuf>,
    /// Files that are open already (built into the program, say); used only where the build id is theirs.
    pub opened: Vec<Arc<Elf>>,
    /// Files that the user named: moved or deleted executables and libraries.
    pub exe: Vec<PathBuf>,
    /// Directories with symbol files, of any layout, or single files.
    pub directories: Vec<PathBuf>,
    /// Roots of separate debug files, as gdb's `debug-file-directory`.
    pub debug_directories: Vec<PathBuf>,
    /// Caches of debuginfod clients: `<build id>/executable` and `<build id>/debuginfo`.
    pub caches: Vec<PathBuf>,
    /// Stores that are no directories: asked where nothing else has the file.
    pub stores: Vec<Arc<dyn Store>>,
    /// Whether this machine's own files may be the dumped machine's: at the recorded paths, in the usual folders.
    pub host: bool,
}

/// The module whose file is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The path that the dump recorded.
    pub path: Option<&'a Path>,
    /// Its build id, where the dump has it. Without one a file is held against `contents`.
    pub build_id: Option<&'a BuildId>,
    /// The dump's architecture; `None` accepts any.
    pub machine: Option<Machine>,
    /// What the dump holds of the module; asked of files that no build id tells apart.
    pub contents: Option<&'a dyn Contents>,
}

impl Default for Locator {
    /// This machine's usual places: `/usr/lib/debug` and the debuginfod cache of the environment.
    fn default() -> Locator {
        Locator {
            sysroot: None,
            opened: Vec::new(),
            exe: Vec::new(),
            directories: Vec::new(),
            debug_directories: vec![PathBuf::from("/usr/lib/debug")],
            caches: layouts::debuginfod_caches(),
            stores: Vec::new(),
            host: true,
        }
    }
}

impl Locator {
    /// No place of this machine: what finds files are the places that are added.
    pub fn nowhere() -> Locator {
        Locator { debug_directories: Vec::new(), caches: Vec::new(), host: false, ..Locator::default() }
    }

    /// The file with the module's code and unwind tables. Looked for in `opened`, in `exe`, below the sysroot, at the recorded path (by
    /// name in the usual folders, where only the name is recorded), in the directories, in the debug directories' build id trees, in the
    /// caches, in the stores.
    pub fn code(&self, wanted: &Wanted<'_>) -> Located {
        let mut search = Search::new(*wanted, Content::Code);
        let recorded = wanted.path.map(without_deleted_mark);
        let opened = self.opened.iter().find(|elf| wanted.build_id.is_some() && elf.build_id() == wanted.build_id);
        if let Some(elf) = opened {
            let place = elf.place().cloned();
            return Located { elf: Some(Arc::clone(elf)), place, verified: true, attempts: Vec::new() };
        }
        for path in &self.exe {
            if search.named_by_user(path, recorded) {
                return search.found;
            }
        }
        let name = recorded.and_then(Path::file_name);
        let id = wanted.build_id.cloned().map(ModuleId::Elf);
        let key = Key { content: Content::Code, id: id.as_ref(), path: recorded, name, link: None };
        let root = self.sysroot.as_deref();
        if root.is_some() && search.ask(&MachineFiles { root, by: By::Path }, &key) {
            return search.found;
        }
        // The path of another machine's file, or of one that is gone, is no evidence that this is the same file.
        search.strict = root.is_some() || recorded != wanted.path;
        let can_tell = root.is_none() || wanted.build_id.is_some() || wanted.contents.is_some();
        if self.host && can_tell && search.ask(&MachineFiles { root: None, by: By::Path }, &key) {
            return search.found;
        }
        search.strict = false;
        if root.is_some() && search.ask(&MachineFiles { root, by: By::BareName }, &key) {
            return search.found;
        }
        // A file of the same name is no evidence: here only the build id decides.
        let by_name = self.host && wanted.build_id.is_some();
        if by_name && search.ask(&MachineFiles { root: None, by: By::BareName }, &key) {
            return search.found;
        }
        let apart = directories(&self.debug_directories, Layout::BuildIdTree);
        let _ = directories(&self.directories, Layout::Any).chain(apart).any(|store| search.ask(&store, &key))
            || self.remote(&mut search, &key);
        search.found
    }

    /// The separate debug file. Looked for by build id below the sysroot's and this machine's debug directories, by debuglink (next to the
    /// code, in `.debug`, in the debug directories), in the directories, in the caches, in the stores. Nothing is looked for when `code`
    /// has debug information of its own.
    pub fn debug(&self, wanted: &Wanted<'_>, code: Option<&Elf>) -> Located {
        if code.is_some_and(Elf::has_debug_info) {
            return Located::default();
        }
        let id = wanted.build_id.or_else(|| code.and_then(Elf::build_id));
        let link = code.and_then(|code| code.debug_link().ok().flatten());
        let wanted = Wanted { build_id: id, ..*wanted };
        let mut search = Search::new(wanted, Content::Debug);
        search.crc = link.as_ref().map(|link| link.crc);
        search.stripped = code;
        let recorded = wanted.path.map(without_deleted_mark);
        let module = id.cloned().map(ModuleId::Elf);
        let key = Key {
            content: Content::Debug,
            id: module.as_ref(),
            path: recorded,
            name: recorded.and_then(Path::file_name),
            link: link.as_ref().and_then(|link| leaf(&link.name)),
        };
        let roots: Vec<PathBuf> = self.debug_roots().collect();
        let homes = code.and_then(Elf::path).into_iter().chain(recorded).filter_map(Path::parent).collect();
        let _ = directories(&roots, Layout::BuildIdTree).any(|store| search.ask(&store, &key))
            || search.ask(&Beside { homes, roots: roots.clone() }, &key)
            || directories(&self.directories, Layout::Any).any(|store| search.ask(&store, &key))
            || self.remote(&mut search, &key);
        search.found
    }

    /// The file of shared debug information that `dwz` split off `debug`; nothing where `debug` names none. Verified by the build id that
    /// `debug` states.
    pub fn supplementary(&self, debug: &Elf) -> Located {
        let Ok(Some(link)) = debug.alt_link() else { return Located::default() };
        let wanted = Wanted { path: None, build_id: Some(&link.build_id), machine: None, contents: None };
        let mut search = Search::new(wanted, Content::Shared);
        let id = ModuleId::Elf(link.build_id.clone());
        let key = Key { content: Content::Shared, id: Some(&id), path: None, name: None, link: leaf(&link.name) };
        let roots: Vec<PathBuf> = self.debug_roots().collect();
        let homes = debug.path().and_then(Path::parent).into_iter().collect();
        let _ = directories(&roots, Layout::BuildIdTree).any(|store| search.ask(&store, &key))
            || search.ask(&Beside { homes, roots: Vec::new() }, &key)
            || directories(&roots, Layout::Dwz).any(|store| search.ask(&store, &key))
            || directories(&self.directories, Layout::Dwz).any(|store| search.ask(&store, &key))
            || self.remote(&mut search, &key);
        search.found
    }

    /// Where the package of a module's split units may be: beside one of its files, or in the directories.
    pub(crate) fn packages(&self, modules: &[PathBuf]) -> Vec<PathBuf> {
        let beside = modules.iter().flat_map(|module| layouts::packages(module));
        let names: Vec<PathBuf> = beside.clone().filter_map(|path| path.file_name().map(PathBuf::from)).collect();
        let apart = self.directories.iter().flat_map(|directory| names.iter().map(|name| directory.join(name)));
        let mut places: Vec<PathBuf> = beside.chain(apart).collect();
        places.dedup();
        places
    }

    /// Where a split unit may be. The path that the module states is followed only beside the module's files, into the directories, or
    /// below the sysroot.
    pub(crate) fn split_units(&self, modules: &[PathBuf], compiled_in: Option<&Path>, name: &Path) -> Vec<PathBuf> {
        let homes: Vec<&Path> = modules.iter().filter_map(|module| module.parent()).collect();
        let roots: Vec<&Path> = homes.iter().copied().chain(self.directories.iter().map(PathBuf::as_path)).collect();
        let mut places = Vec::new();
        let stated = compiled_in.map_or_else(|| name.to_owned(), |directory| directory.join(name));
        if let Some(path) = layouts::normal(&stated).filter(|path| path.is_absolute()) {
            places.extend(roots.iter().any(|root| path.starts_with(root)).then(|| path.clone()));
            places.extend(self.sysroot.as_ref().and_then(|root| layouts::below(root, &path)));
        }
        for root in roots {
            places.extend(name.is_relative().then(|| layouts::below(root, name)).flatten());
            places.extend(leaf(name.as_os_str().as_bytes()).map(|leaf| root.join(leaf)));
        }
        places
    }

    /// Asks what holds files of other machines: the caches, then the stores.
    fn remote(&self, search: &mut Search<'_>, key: &Key<'_>) -> bool {
        directories(&self.caches, Layout::Debuginfod).any(|store| search.ask(&store, key))
            || self.stores.iter().any(|store| search.ask(&**store, key))
    }

    /// The debug directories below the sysroot, then this machine's.
    fn debug_roots(&self) -> impl Iterator<Item = PathBuf> {
        let inside = self
            .sysroot
            .iter()
            .flat_map(|root| self.debug_directories.iter().filter_map(|directory| layouts::below(root, directory)));
        inside.chain(self.debug_directories.iter().cloned())
    }
}

fn directories(roots: &[PathBuf], layout: Layout) -> impl Iterator<Item = Directory<'_>> {
    roots.iter().map(move |root| Directory { root, layout })
}

/// The kernel appends this to the path of a file that was unlinked while mapped. Source: Linux fs/d_path.c, `path_with_deleted`.
fn without_deleted_mark(path: &Path) -> &Path {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(rest) if !rest.is_empty() => Path::new(OsStr::from_bytes(rest)),
        _ => path,
    }
}

/// The last component of a name that a file states, if it can be a file's name.
fn leaf(name: &[u8]) -> Option<&OsStr> {
    let path = Path::new(OsStr::from_bytes(name));
    match path.components().next_back()? {
        Component::Normal(leaf) if leaf.len() <= 255 && !leaf.as_bytes().contains(&0) => Some(leaf),
        _ => None,
    }
}
