//! Where a module's files are, and whether they are the right ones.
//!
//! Every file is verified before it is handed out: its build id, its machine, that it holds what was asked for. What was tried and why it
//! was refused is part of the answer. Names that a dump or a debug file states are used by their last component, or below a root that
//! the user configured; a recorded module path is opened as such only because its build id is checked.

mod contents;
mod layouts;
mod libraries;
mod open;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

pub use self::contents::{Comparison, Contents};

use crate::{BuildId, Elf, Machine};

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

/// One place that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The file.
    pub path: PathBuf,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of looking at one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is no such file (or an empty one, which in a debuginfod cache means that the server had none).
    Absent,
    /// It exists and cannot be opened.
    Unreadable(String),
    /// It is no ELF file.
    NotElf,
    /// It is another build.
    BuildIdDiffers {
        /// The build id it has, if any.
        found: Option<BuildId>,
    },
    /// It is for another architecture.
    MachineDiffers {
        /// The one it is for.
        found: Machine,
    },
    /// Its checksum is not the one that the stripped file states.
    CrcDiffers,
    /// It is the right build, and does not hold what was asked for.
    Lacks(&'static str),
    /// Its contents are not those of the module in memory, or of the stripped file.
    ContentsDiffer(String),
    /// Nothing tells whether it is the right build, and it was found where another may well be.
    Unverifiable(String),
    /// It is the file that was wanted: its build id or its checksum says so.
    Accepted,
    /// It is the file that was wanted: its contents say so. The text is what was compared.
    AcceptedByContents(String),
    /// It was taken although nothing tells whether it is the right build. The text is why.
    AcceptedUnverified(String),
}

/// The answer: a file, or none, and everything that was tried.
#[derive(Clone, Debug, Default)]
pub struct Located {
    /// The file.
    pub elf: Option<Arc<Elf>>,
    /// Where it was.
    pub path: Option<PathBuf>,
    /// Whether its identity was checked.
    pub verified: bool,
    /// Every place looked at, in order; the last one is the accepted file, if there is one.
    pub attempts: Vec<Attempt>,
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
    /// name in the usual folders, where only the name is recorded), in the directories, in the debug directories' build id trees, in the caches.
    pub fn code(&self, wanted: &Wanted<'_>) -> Located {
        let mut search = Search::new(*wanted, Content::Code);
        let recorded = wanted.path.map(without_deleted_mark);
        let opened = self.opened.iter().find(|elf| wanted.build_id.is_some() && elf.build_id() == wanted.build_id);
        if let Some(elf) = opened {
            let path = elf.path().map(Path::to_owned);
            return Located { elf: Some(Arc::clone(elf)), path, verified: true, attempts: Vec::new() };
        }
        for path in &self.exe {
            if search.named_by_user(path, recorded) {
                return search.found;
            }
        }
        if let Some(path) = recorded {
            if let Some(root) = &self.sysroot
                && search.below(root, path)
            {
                return search.found;
            }
            // The path of another machine's file, or of one that is gone, is no evidence that this is the same file.
            search.strict = self.sysroot.is_some() || Some(path) != wanted.path;
            let can_tell = self.sysroot.is_none() || wanted.build_id.is_some() || wanted.contents.is_some();
            if self.host && can_tell && path.is_absolute() && search.at(path) {
                return search.found;
            }
            search.strict = false;
        }
        if let Some(name) = recorded.and_then(libraries::bare)
            && self.by_name(&mut search, name)
        {
            return search.found;
        }
        let leaf = recorded.and_then(Path::file_name);
        for directory in &self.directories {
            if search.any(layouts::code(directory, recorded, leaf, wanted.build_id)) {
                return search.found;
            }
        }
        if let Some(id) = wanted.build_id {
            let trees = self.debug_directories.iter().filter_map(|directory| layouts::build_id_tree(directory, id, ""));
            let cached = self.caches.iter().map(|cache| cache.join(id.to_string()).join("executable"));
            search.any(trees.chain(cached));
        }
        search.found
    }

    /// The separate debug file. Looked for by build id below the sysroot's and this machine's debug directories, by debuglink (next to the
    /// code, in `.debug`, in the debug directories), in the directories, in the caches. Nothing is looked for when `code` has
    /// debug information of its own.
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
        if let Some(id) = id {
            let trees = self.debug_roots().filter_map(|root| layouts::build_id_tree(&root, id, ".debug"));
            if search.any(trees) {
                return search.found;
            }
        }
        let recorded = wanted.path.map(without_deleted_mark);
        let link_leaf = link.as_ref().and_then(|link| leaf(&link.name));
        let homes = code.and_then(Elf::path).into_iter().chain(recorded).filter_map(Path::parent);
        if let Some(name) = link_leaf {
            for home in homes {
                let beside = [home.join(name), home.join(".debug").join(name)];
                let apart = self.debug_roots().filter_map(|root| Some(layouts::below(&root, home)?.join(name)));
                if home.is_absolute() && search.any(beside.into_iter().chain(apart)) {
                    return search.found;
                }
            }
        }
        let name = recorded.and_then(Path::file_name);
        for directory in &self.directories {
            if search.any(layouts::debug(directory, name, link_leaf, id)) {
                return search.found;
            }
        }
        if let Some(id) = id {
            search.any(self.caches.iter().map(|cache| cache.join(id.to_string()).join("debuginfo")));
        }
        search.found
    }

    /// The file of shared debug information that `dwz` split off `debug`; nothing where `debug` names none. Verified by the build id that
    /// `debug` states.
    pub fn supplementary(&self, debug: &Elf) -> Located {
        let Ok(Some(link)) = debug.alt_link() else { return Located::default() };
        let wanted = Wanted { path: None, build_id: Some(&link.build_id), machine: None, contents: None };
        let mut search = Search::new(wanted, Content::Any);
        let trees = self.debug_roots().filter_map(|root| layouts::build_id_tree(&root, &link.build_id, ".debug"));
        if search.any(trees) {
            return search.found;
        }
        let name = leaf(&link.name);
        let home = debug.path().and_then(Path::parent);
        if let Some(name) = name {
            let beside = home.into_iter().flat_map(|home| [home.join(name), home.join(".dwz").join(name)]);
            let roots = self.debug_roots().chain(self.directories.iter().cloned());
            let apart = roots.flat_map(|root| layouts::dwz(&root, name));
            if search.any(beside.chain(apart)) {
                return search.found;
            }
        }
        search.any(self.caches.iter().map(|cache| cache.join(link.build_id.to_string()).join("debuginfo")));
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

    /// Looks for a file of which only the name is known: where the sysroot and this machine keep programs and libraries. A file of
    /// the same name is no evidence: here only the build id decides.
    fn by_name(&self, search: &mut Search<'_>, name: &OsStr) -> bool {
        if let Some(root) = &self.sysroot
            && libraries::places(root, name).iter().any(|place| search.below(root, place))
        {
            return true;
        }
        self.host && search.wanted.build_id.is_some() && search.any(libraries::places(Path::new("/"), name))
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

impl Outcome {
    /// Whether a file was there and was not taken: another build, another machine, damaged, no ELF file.
    pub fn is_refusal(&self) -> bool {
        match self {
            Outcome::Absent
            | Outcome::Lacks(_)
            | Outcome::Accepted
            | Outcome::AcceptedByContents(_)
            | Outcome::AcceptedUnverified(_) => false,
            Outcome::Unreadable(_)
            | Outcome::NotElf
            | Outcome::BuildIdDiffers { .. }
            | Outcome::MachineDiffers { .. }
            | Outcome::CrcDiffers
            | Outcome::ContentsDiffer(_)
            | Outcome::Unverifiable(_) => true,
        }
    }

    /// Whether the file was taken, and is verified.
    fn is_verified(&self) -> bool {
        matches!(self, Outcome::Accepted | Outcome::AcceptedByContents(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Absent => f.write_str("no such file"),
            Outcome::Unreadable(why) => f.write_str(why),
            Outcome::NotElf => f.write_str("not an ELF file"),
            Outcome::BuildIdDiffers { found: Some(id) } => write!(f, "another build: its build id is {id}"),
            Outcome::BuildIdDiffers { found: None } => f.write_str("it has no build id, so it cannot be verified"),
            Outcome::MachineDiffers { found } => write!(f, "it is for another machine ({found:?})"),
            Outcome::CrcDiffers => f.write_str("its checksum is not the one that the stripped file states"),
            Outcome::Lacks(what) => write!(f, "it holds no {what}"),
            Outcome::ContentsDiffer(what) => write!(f, "another build: {what}"),
            Outcome::Unverifiable(why) => write!(f, "it cannot be verified: {why}"),
            Outcome::Accepted => f.write_str("accepted"),
            Outcome::AcceptedByContents(what) => write!(f, "accepted by its contents: {what}"),
            Outcome::AcceptedUnverified(why) => write!(f, "accepted, but not verified: {why}"),
        }
    }
}

/// What a file must hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Code,
    Debug,
    Any,
}

/// A search in progress: looks at one place after the other until one is accepted.
struct Search<'a> {
    wanted: Wanted<'a>,
    content: Content,
    crc: Option<u32>,
    stripped: Option<&'a Elf>,
    /// Whether a file that cannot be verified is refused.
    strict: bool,
    found: Located,
}

impl<'a> Search<'a> {
    fn new(wanted: Wanted<'a>, content: Content) -> Search<'a> {
        Search { wanted, content, crc: None, stripped: None, strict: false, found: Located::default() }
    }

    /// Looks at the paths in order; whether one was accepted.
    fn any(&mut self, paths: impl IntoIterator<Item = PathBuf>) -> bool {
        paths.into_iter().any(|path| self.at(&path))
    }

    fn at(&mut self, path: &Path) -> bool {
        let itself = self.stripped.and_then(Elf::path) == Some(path);
        let seen = self.found.attempts.iter().any(|attempt| attempt.path == path);
        !itself && !seen && self.judge(path, open::elf(path))
    }

    fn below(&mut self, root: &Path, path: &Path) -> bool {
        let Some(full) = layouts::below(root, path) else { return false };
        self.judge(&full, open::elf_inside(root, path, &full))
    }

    /// A file that the user named is for this module if its build id says so, or, where the dump has none, its contents or
    /// its name. Other files of the list are other modules': they are no failed attempts, unless their name says that they
    /// were meant.
    fn named_by_user(&mut self, path: &Path, recorded: Option<&Path>) -> bool {
        let opened = open::elf(path);
        let same_name = recorded.and_then(Path::file_name) == path.file_name();
        let same_id = match &opened {
            Ok(file) if self.wanted.build_id.is_some() => file.build_id() == self.wanted.build_id,
            Ok(file) => self.verdict(file).is_verified(),
            Err(_) => false,
        };
        (same_name || same_id) && self.judge(path, opened)
    }

    fn judge(&mut self, path: &Path, opened: Result<Elf, Outcome>) -> bool {
        let (outcome, file) = match opened {
            Ok(file) => (self.verdict(&file), Some(file)),
            Err(outcome) => (outcome, None),
        };
        let verified = outcome.is_verified();
        let accepted = verified || matches!(outcome, Outcome::AcceptedUnverified(_));
        self.found.attempts.push(Attempt { path: path.to_owned(), outcome });
        if accepted {
            self.found.elf = file.map(Arc::new);
            self.found.path = Some(path.to_owned());
            self.found.verified = verified;
        }
        accepted
    }

    fn verdict(&self, file: &Elf) -> Outcome {
        let found = file.machine();
        if self.wanted.machine.is_some_and(|machine| machine != found) {
            return Outcome::MachineDiffers { found };
        }
        let same_build = self.wanted.build_id.is_some() && self.wanted.build_id == file.build_id();
        let by_checksum = self.crc.filter(|_| file.build_id().is_none() || self.wanted.build_id.is_none());
        if self.wanted.build_id.is_some() && !same_build && by_checksum.is_none() {
            return Outcome::BuildIdDiffers { found: file.build_id().cloned() };
        }
        if let Some(crc) = by_checksum
            && crc32fast::hash(file.bytes()) != crc
        {
            return Outcome::CrcDiffers;
        }
        match self.content {
            Content::Code if !file.has_code() => Outcome::Lacks("code (it is a separate debug file)"),
            Content::Debug if !file.has_names() => Outcome::Lacks("debug information and no symbols"),
            _ if same_build || by_checksum.is_some() => Outcome::Accepted,
            _ => match self.compare(file) {
                Comparison::Same(what) => Outcome::AcceptedByContents(what),
                Comparison::Differs(what) => Outcome::ContentsDiffer(what),
                Comparison::Unknown(why) if self.strict => Outcome::Unverifiable(why),
                Comparison::Unknown(why) => Outcome::AcceptedUnverified(why),
            },
        }
    }

    fn compare(&self, file: &Elf) -> Comparison {
        match (self.content, self.stripped, self.wanted.contents) {
            (Content::Debug, Some(stripped), _) => contents::of_debug_file(stripped, file),
            (Content::Code, _, Some(contents)) => contents.compare(file),
            _ => Comparison::Unknown("there is no build id and nothing to compare it with".to_owned()),
        }
    }
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
