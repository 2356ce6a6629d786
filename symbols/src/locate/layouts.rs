//! The ways in which directories of symbol files are laid out. Each function lists candidates; none opens a file.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use crate::{BuildId, ModuleId};

/// Directories below `.dwz` that are looked into (Debian has one per architecture).
const MAX_DWZ_DIRECTORIES: usize = 64;

/// Where a directory may hold a module's code.
pub(super) fn code(
    directory: &Path,
    recorded: Option<&Path>,
    leaf: Option<&OsStr>,
    id: Option<&BuildId>,
) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(id) = id {
        let hex = id.to_string();
        places.extend(build_id_tree(directory, id, ""));
        // A debuginfod cache.
        places.push(directory.join(&hex).join("executable"));
        // Sentry's "unified" layout, and a directory that is itself a .build-id tree.
        if let Some((two, rest)) = hex.split_at_checked(2) {
            places.push(directory.join(two).join(rest).join("executable"));
            places.push(directory.join(two).join(rest));
        }
        if let Some(name) = leaf.and_then(OsStr::to_str) {
            places.extend(ModuleId::Elf(id.clone()).ssqp_key(name).map(|key| directory.join(key)));
        }
    }
    places.extend(leaf.map(|leaf| directory.join(leaf)));
    places.extend(recorded.and_then(|path| below(directory, path)));
    // A file given where a directory is expected.
    places.push(directory.to_owned());
    places
}

/// Where a directory may hold an assembly of .NET or its PDB.
pub(super) fn managed(
    directory: &Path,
    recorded: Option<&Path>,
    leaf: Option<&OsStr>,
    id: Option<&ModuleId>,
) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = leaf.map(|leaf| directory.join(leaf)).into_iter().collect();
    places.extend(recorded.and_then(|path| below(directory, path)));
    let key = leaf.and_then(OsStr::to_str).zip(id).and_then(|(name, id)| id.ssqp_key(name));
    places.extend(key.map(|key| directory.join(key)));
    // A file given where a directory is expected.
    places.push(directory.to_owned());
    places
}

/// Where a directory may hold a module's separate debug file. `link` is the name that the stripped file states.
pub(super) fn debug(
    directory: &Path,
    leaf: Option<&OsStr>,
    link: Option<&OsStr>,
    id: Option<&BuildId>,
) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(id) = id {
        let hex = id.to_string();
        places.extend(build_id_tree(directory, id, ".debug"));
        places.push(directory.join(&hex).join("debuginfo"));
        if let Some((two, rest)) = hex.split_at_checked(2) {
            places.push(directory.join(two).join(rest).join("debuginfo"));
            places.push(directory.join(two).join(format!("{rest}.debug")));
        }
        places.extend(ModuleId::Elf(id.clone()).ssqp_debug_key().map(|key| directory.join(key)));
    }
    places.extend(link.map(|link| directory.join(link)));
    for suffix in ["debug", "dbg", "sym", ""] {
        places.extend(leaf.map(|leaf| directory.join(with_suffix(leaf, suffix))));
    }
    places.push(directory.to_owned());
    places
}

/// `ROOT/.build-id/ab/cdef…` followed by `suffix`: `.debug` for debug files, nothing for executables.
pub(super) fn build_id_tree(root: &Path, id: &BuildId, suffix: &str) -> Option<PathBuf> {
    let hex = id.to_string();
    let (two, rest) = hex.split_at_checked(2).filter(|(_, rest)| !rest.is_empty())?;
    Some(root.join(".build-id").join(two).join(format!("{rest}{suffix}")))
}

/// Where `dwz -m` output may lie below a debug directory: `.dwz/NAME`, `.dwz/ARCHITECTURE/NAME`, `NAME`.
pub(super) fn dwz(root: &Path, name: &OsStr) -> Vec<PathBuf> {
    let directory = root.join(".dwz");
    let mut places = vec![directory.join(name)];
    let children = directory.read_dir().into_iter().flatten().take(MAX_DWZ_DIRECTORIES).flatten();
    let mut below: Vec<PathBuf> = children
        .filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|child| child.path().join(name))
        .collect();
    below.sort();
    places.append(&mut below);
    places.push(root.join(name));
    places
}

/// What a package of split units is called beside `module`: `program.dwp`, and for `program.debug` also that without `.debug`.
pub(super) fn packages(module: &Path) -> impl Iterator<Item = PathBuf> + Clone + use<> {
    let named = module.file_name().map(|name| module.with_file_name(with_suffix(name, "dwp")));
    let plain = module.extension().filter(|extension| *extension == "debug").map(|_| module.with_extension("dwp"));
    named.into_iter().chain(plain)
}

/// The path without `.` and `..`, as far as that can be told from the path alone; `None` if it climbs above the root.
pub(super) fn normal(path: &Path) -> Option<PathBuf> {
    let mut full = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if !full.pop() => return None,
            Component::ParentDir | Component::CurDir => {}
            part => full.push(part),
        }
    }
    Some(full)
}

/// `path` as seen when `root` is the root directory; `None` if it climbs with `..`.
pub(super) fn below(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut full = root.to_owned();
    for part in path.components() {
        match part {
            Component::Normal(name) => full.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(full)
}

/// The caches that elfutils' debuginfod client would use. Source: debuginfod_find_debuginfo(3), "CACHE".
pub(super) fn debuginfod_caches() -> Vec<PathBuf> {
    let directory = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = directory("HOME");
    if let Some(path) = directory("DEBUGINFOD_CACHE_PATH") {
        return vec![path];
    }
    let old = home.as_ref().map(|home| home.join(".debuginfod_client_cache"));
    let cache = directory("XDG_CACHE_HOME").or_else(|| home.map(|home| home.join(".cache")));
    old.into_iter()
        .chain(cache.map(|cache| cache.join("debuginfod_client")))
        .filter(|path| path.is_absolute())
        .collect()
}

fn with_suffix(leaf: &OsStr, suffix: &str) -> OsString {
    let mut name = leaf.to_owned();
    if !suffix.is_empty() {
        name.push(".");
        name.push(suffix);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layouts_of_the_field_are_all_tried() {
        let id = BuildId::from_hex("ab0102030405060708090a0b0c0d0e0f10111213").unwrap();
        let found = code(Path::new("/s"), Some(Path::new("/opt/lib/Foo.so")), Some(OsStr::new("Foo.so")), Some(&id));
        for expected in [
            "/s/.build-id/ab/0102030405060708090a0b0c0d0e0f10111213",
            "/s/ab0102030405060708090a0b0c0d0e0f10111213/executable",
            "/s/foo.so/elf-buildid-ab0102030405060708090a0b0c0d0e0f10111213/foo.so",
            "/s/ab/0102030405060708090a0b0c0d0e0f10111213/executable",
            "/s/Foo.so",
            "/s/opt/lib/Foo.so",
        ] {
            assert!(found.contains(&PathBuf::from(expected)), "{expected}");
        }
        let short = BuildId::from_hex("ab01").unwrap();
        let found = debug(Path::new("/s"), None, None, Some(&short));
        let padded = format!("/s/_.debug/elf-buildid-sym-ab01{}/_.debug", "0".repeat(36));
        assert!(found.contains(&PathBuf::from(padded)));
    }

    #[test]
    fn a_path_that_climbs_is_not_followed() {
        assert_eq!(below(Path::new("/root"), Path::new("/etc/../../x")), None);
        assert_eq!(below(Path::new("/root"), Path::new("/a/./b")), Some(PathBuf::from("/root/a/b")));
    }
}
