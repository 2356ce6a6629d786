//! Where files are asked for: every directory, cache or server is a store.
//!
//! A store knows places and fetches bytes; it verifies nothing. Which stores are asked, in which order, is the locator's; whether the bytes
//! are the right file is the search's.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use super::{Fetch, Place, layouts, libraries, open};
use crate::ModuleId;

/// Keeps files, and hands out those that a key names.
pub trait Store: fmt::Debug + Send + Sync {
    /// Where it would keep what the key names, likeliest first; empty where the key does not say enough. Fetches nothing.
    fn places(&self, key: &Key<'_>) -> Vec<Place>;

    /// What is at one of these places.
    fn fetch(&self, place: &Place) -> Fetch;
}

/// What is asked of a store.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// What the file must hold.
    pub content: Content,
    /// Which build of the module it belongs to.
    pub id: Option<&'a ModuleId>,
    /// The path of the module that the dump recorded.
    pub path: Option<&'a Path>,
    /// The last component of that path.
    pub name: Option<&'a OsStr>,
    /// The name that another file states: the stripped file that of its debug file, the debug file that of the one `dwz` split off.
    pub link: Option<&'a OsStr>,
}

/// What a file must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The module's code and unwind tables.
    Code,
    /// Its debug information, in a file of its own.
    Debug,
    /// Debug information that several debug files share (`dwz`).
    Shared,
    /// An assembly of .NET.
    Assembly,
    /// The portable PDB of an assembly.
    Pdb,
}

/// A directory with symbol files.
#[derive(Debug)]
pub(super) struct Directory<'a> {
    pub(super) root: &'a Path,
    pub(super) layout: Layout,
}

/// How a directory is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    /// In any of the ways of the field.
    Any,
    /// `.build-id/ab/cdef…`, with `.debug` for debug files.
    BuildIdTree,
    /// `<build id>/executable` and `<build id>/debuginfo`.
    Debuginfod,
    /// The files that `dwz` makes, by name.
    Dwz,
}

/// The files of a machine, as its programs see them.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    /// Its root directory; `None` for this machine.
    pub(super) root: Option<&'a Path>,
    /// Whether the recorded path is looked up, or its bare name in the usual folders.
    pub(super) by: By,
}

/// What of a recorded path is followed.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    Path,
    BareName,
}

/// The folders of a module's files and those that mirror them below the debug directories: where the name leads that another file states.
#[derive(Debug)]
pub(super) struct Beside<'a> {
    pub(super) homes: Vec<&'a Path>,
    pub(super) roots: Vec<PathBuf>,
}

impl Store for Directory<'_> {
    fn places(&self, key: &Key<'_>) -> Vec<Place> {
        let content = key.content;
        let id = match key.id {
            Some(ModuleId::Elf(id)) => Some(id),
            // Directories keep files of ELF by their ids; others by name.
            Some(ModuleId::Pdb { .. } | ModuleId::Pe { .. } | ModuleId::Breakpad { .. }) | None => None,
        };
        let root = self.root;
        match (self.layout, content) {
            (Layout::Any, Content::Assembly | Content::Pdb) => {
                files(layouts::managed(root, key.path, key.name, key.id))
            }
            (_, Content::Assembly | Content::Pdb) => Vec::new(),
            (Layout::Any, Content::Code) => files(layouts::code(root, key.path, key.name, id)),
            (Layout::Any, Content::Debug) => files(layouts::debug(root, key.name, key.link, id)),
            (Layout::Any | Layout::Dwz, Content::Shared) => {
                files(key.link.into_iter().flat_map(|name| layouts::dwz(root, name)))
            }
            (Layout::Dwz, Content::Code | Content::Debug) => Vec::new(),
            (Layout::BuildIdTree, _) => {
                let suffix = if content == Content::Code { "" } else { ".debug" };
                files(id.and_then(|id| layouts::build_id_tree(root, id, suffix)))
            }
            (Layout::Debuginfod, _) => {
                let file = if content == Content::Code { "executable" } else { "debuginfo" };
                files(id.map(|id| root.join(id.to_string()).join(file)))
            }
        }
    }

    fn fetch(&self, place: &Place) -> Fetch {
        on_this_machine(place)
    }
}

impl Store for Machine<'_> {
    fn places(&self, key: &Key<'_>) -> Vec<Place> {
        let bare = || key.path.and_then(libraries::bare);
        match (self.by, self.root) {
            (By::Path, Some(root)) => files(key.path.and_then(|path| layouts::below(root, path))),
            (By::Path, None) => files(key.path.filter(|path| path.is_absolute()).map(Path::to_owned)),
            (By::BareName, Some(root)) => {
                let inside = bare().into_iter().flat_map(|name| libraries::places(root, name));
                files(inside.filter_map(|path| layouts::below(root, &path)))
            }
            (By::BareName, None) => files(bare().into_iter().flat_map(|name| libraries::places(Path::new("/"), name))),
        }
    }

    fn fetch(&self, place: &Place) -> Fetch {
        let inside =
            self.root.zip(place.path()).and_then(|(root, full)| Some((root, full.strip_prefix(root).ok()?, full)));
        match inside {
            Some((root, path, full)) => open::file_inside(root, path, full),
            None => on_this_machine(place),
        }
    }
}

impl Store for Beside<'_> {
    fn places(&self, key: &Key<'_>) -> Vec<Place> {
        let Some(name) = key.link else { return Vec::new() };
        match key.content {
            Content::Code | Content::Assembly | Content::Pdb => Vec::new(),
            Content::Debug => files(self.homes.iter().filter(|home| home.is_absolute()).flat_map(|home| {
                let apart = self.roots.iter().filter_map(|root| Some(layouts::below(root, home)?.join(name)));
                [home.join(name), home.join(".debug").join(name)].into_iter().chain(apart).collect::<Vec<_>>()
            })),
            Content::Shared => {
                files(self.homes.iter().flat_map(|home| [home.join(name), home.join(".dwz").join(name)]))
            }
        }
    }

    fn fetch(&self, place: &Place) -> Fetch {
        on_this_machine(place)
    }
}

fn files(paths: impl IntoIterator<Item = PathBuf>) -> Vec<Place> {
    paths.into_iter().map(Place::File).collect()
}

fn on_this_machine(place: &Place) -> Fetch {
    place.path().map_or(Fetch::Absent, open::file)
}
