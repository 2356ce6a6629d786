//! Files of .NET, which are no ELF files: assemblies and their portable PDBs.
//!
//! They are asked of the same places as a module's file. Whoever asks says which of the files that are there is the right one, by what it
//! holds: none is handed out for its name. A path that an assembly states is followed below the sysroot and the directories; elsewhere its
//! last component is looked for.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::store::{By, Directory, Layout, Machine};
use super::{Content, Fetch, Key, Locator, Store, directories, leaf, open, without_deleted_mark};
use crate::{FileBytes, ModuleId};

/// The portable PDB of an assembly.
#[derive(Clone, Copy, Debug)]
pub struct WantedPdb<'a> {
    /// Where the assembly says that its compiler wrote it: a path of that machine, which may be one of Windows.
    pub stated: &'a [u8],
    /// Its GUID, in the order in which it is printed.
    pub guid: [u8; 16],
    /// The path of the assembly that the dump recorded.
    pub assembly: Option<&'a Path>,
}

/// Whether a file is the one that is wanted.
type Accepts<'a> = &'a mut dyn FnMut(&FileBytes) -> bool;

impl Locator {
    /// The assembly that the dump recorded at a path: among the files that the user named, below the sysroot, at the path, in the
    /// directories, in the stores.
    pub fn assembly(&self, path: &Path, accepts: Accepts<'_>) -> Option<FileBytes> {
        let path = without_deleted_mark(path);
        let key = Key { content: Content::Assembly, id: None, path: Some(path), name: path.file_name(), link: None };
        let named = self.exe.iter().filter(|file| file.file_name() == path.file_name());
        named
            .filter_map(|file| accepted(open::file(file), accepts))
            .next()
            .or_else(|| self.on_machines(path, &key, accepts))
            .or_else(|| self.apart(&key, accepts))
    }

    /// The portable PDB of an assembly: beside it (wherever a file of its name may be), at the stated path below the sysroot, in the
    /// directories, in the stores.
    pub fn pdb(&self, wanted: &WantedPdb<'_>, accepts: Accepts<'_>) -> Option<FileBytes> {
        // Paths of Windows have their own separator.
        let stated: Vec<u8> = wanted.stated.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
        let name = leaf(&stated)?;
        let path = Path::new(OsStr::from_bytes(&stated));
        let id = ModuleId::Pdb { guid: wanted.guid, age: None };
        let key = Key { content: Content::Pdb, id: Some(&id), path: Some(path), name: Some(name), link: None };
        let assembly = wanted.assembly.map(without_deleted_mark);
        let moved = self.exe.iter().filter(|file| assembly.is_some_and(|path| path.file_name() == file.file_name()));
        let moved: Vec<PathBuf> = moved.filter_map(|file| Some(file.parent()?.join(name))).collect();
        let beside = assembly.and_then(|path| Some(path.parent()?.join(name)));
        let below = Machine { root: self.sysroot.as_deref(), by: By::Path };
        moved
            .iter()
            .find_map(|file| accepted(open::file(file), accepts))
            .or_else(|| beside.and_then(|path| self.on_machines(&path, &key, accepts)))
            .or_else(|| self.sysroot.is_some().then(|| ask(&below, &key, accepts)).flatten())
            .or_else(|| self.apart(&key, accepts))
    }

    /// What is at a path of the dumped machine, as far as its files are at hand.
    fn on_machines(&self, path: &Path, key: &Key<'_>, accepts: Accepts<'_>) -> Option<FileBytes> {
        let key = Key { path: Some(path), ..*key };
        let roots = self.sysroot.as_deref().map(Some).into_iter().chain(self.host.then_some(None));
        roots.map(|root| Machine { root, by: By::Path }).find_map(|machine| ask(&machine, &key, accepts))
    }

    /// What directories and stores have.
    fn apart(&self, key: &Key<'_>, accepts: Accepts<'_>) -> Option<FileBytes> {
        let found =
            directories(&self.directories, Layout::Any).find_map(|store: Directory<'_>| ask(&store, key, accepts));
        found.or_else(|| self.stores.iter().find_map(|store| ask(&**store, key, accepts)))
    }
}

fn ask(store: &dyn Store, key: &Key<'_>, accepts: Accepts<'_>) -> Option<FileBytes> {
    store.places(key).iter().find_map(|place| accepted(store.fetch(place), accepts))
}

fn accepted(fetched: Fetch, accepts: Accepts<'_>) -> Option<FileBytes> {
    match fetched {
        Fetch::Found(bytes) => accepts(&bytes).then_some(bytes),
        Fetch::Absent | Fetch::NotAFile | Fetch::Failed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn pdb() -> WantedPdb<'static> {
        let assembly = Some(Path::new("/app/Shop.dll"));
        WantedPdb { stated: b"C:\\build\\obj\\Shop.pdb", guid: [0xab; 16], assembly }
    }

    fn write(root: &Path, path: &str, text: &str) {
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn found(locator: &Locator, wanted: &WantedPdb<'_>) -> Option<FileBytes> {
        locator.pdb(wanted, &mut |bytes| bytes.starts_with(b"right"))
    }

    #[test]
    fn a_pdb_is_looked_for_beside_its_assembly_and_in_directories_of_any_layout() {
        for path in ["app/Shop.pdb", "Shop.pdb", "shop.pdb/ababababababababababababababababFFFFFFFF/shop.pdb"] {
            let root = tempfile::tempdir().unwrap();
            write(root.path(), path, "right");
            let in_root = Locator { sysroot: Some(root.path().to_owned()), ..Locator::nowhere() };
            assert_eq!(found(&in_root, &pdb()).is_some(), path == "app/Shop.pdb", "{path}");
            let in_directory = Locator { directories: vec![root.path().to_owned()], ..Locator::nowhere() };
            assert_eq!(found(&in_directory, &pdb()).is_some(), path != "app/Shop.pdb", "{path}");
        }
    }

    #[test]
    fn a_file_that_is_another_build_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "app/Shop.pdb", "wrong");
        write(root.path(), "other/Shop.pdb", "right");
        let locator = Locator {
            sysroot: Some(root.path().to_owned()),
            directories: vec![root.path().join("other")],
            ..Locator::nowhere()
        };
        assert_eq!(found(&locator, &pdb()).as_deref(), Some(&b"right"[..]));
    }

    #[test]
    fn a_stated_path_is_followed_below_roots_only() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "src/obj/Shop.pdb", "right");
        let absolute = root.path().join("src/obj/Shop.pdb");
        let stated = |stated| WantedPdb { stated, assembly: None, ..pdb() };
        let host = Locator { host: true, ..Locator::nowhere() };
        assert!(found(&host, &stated(absolute.as_os_str().as_bytes())).is_none());
        let below = Locator { sysroot: Some(root.path().to_owned()), ..Locator::nowhere() };
        assert!(found(&below, &stated(b"/src/obj/Shop.pdb")).is_some());
        let inner = Locator { sysroot: Some(root.path().join("app")), ..Locator::nowhere() };
        assert!(found(&inner, &stated(b"/../src/obj/Shop.pdb")).is_none());
    }

    #[test]
    fn an_assembly_that_was_moved_is_named_by_the_user_and_its_pdb_is_beside_it() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "moved/Shop.dll", "right");
        write(root.path(), "moved/Shop.pdb", "right");
        let locator = Locator { exe: vec![root.path().join("moved/Shop.dll")], ..Locator::nowhere() };
        assert!(locator.assembly(Path::new("/app/Shop.dll"), &mut |_| true).is_some());
        assert!(locator.assembly(Path::new("/app/Other.dll"), &mut |_| true).is_none());
        assert!(found(&locator, &pdb()).is_some());
    }
}
