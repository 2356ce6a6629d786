//! Where a machine keeps programs and libraries, for modules of which only the file's name is known: dumps without personal data hold no
//! folders.
//!
//! Input: a root and a file's name. Output: places in it, as seen from that root. They are those that the loader's configuration lists, the
//! usual ones of distributions and of container images: no folder is searched through. Specification: ld.so(8), ldconfig(8), the
//! Filesystem Hierarchy Standard 3.0; musl's `/etc/ld-musl-ARCH.path`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::open;

/// Folders of libraries, of programs, and where container images put theirs.
const FOLDERS: [&str; 23] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib64",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/lib/x86_64-linux-musl",
    "/usr/lib/aarch64-linux-musl",
    "/usr/libexec",
    "/",
    "/app",
    "/opt",
    "/srv",
];
/// The loaders' own lists.
const LISTS: [&str; 3] = ["/etc/ld.so.conf", "/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path"];
const MORE_LISTS: &str = "/etc/ld.so.conf.d";
/// Files of `ld.so.conf.d` that are read, bytes of one, folders that all of them may name.
const MAX_LISTS: usize = 256;
const MAX_LIST: u64 = 64 << 10;
const MAX_LISTED: usize = 256;

/// Paths at which a file of that name may be, as seen from `root`.
pub(super) fn places(root: &Path, name: &OsStr) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let folders = FOLDERS.iter().map(PathBuf::from).chain(listed(root));
    folders.filter(|folder| seen.insert(folder.clone())).map(|folder| folder.join(name)).collect()
}

/// The name of a file whose folder is not recorded; `None` for any other path.
pub(super) fn bare(path: &Path) -> Option<&OsStr> {
    let mut parts = path.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) => Some(name),
        _ => None,
    }
}

/// The folders that the loaders' configuration names.
fn listed(root: &Path) -> Vec<PathBuf> {
    let more = root.join(MORE_LISTS.trim_start_matches('/'));
    let mut names: Vec<_> = fs::read_dir(more).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let more = names.into_iter().take(MAX_LISTS).map(|name| Path::new(MORE_LISTS).join(name));
    let lists = LISTS.iter().map(PathBuf::from).chain(more);
    let texts = lists.filter_map(|list| text(open::inside(root, &list).ok()?));
    let folders: Vec<PathBuf> = texts.flat_map(|text| folders(&text)).take(MAX_LISTED).collect();
    folders
}

fn text(file: File) -> Option<String> {
    let mut bytes = Vec::new();
    file.take(MAX_LIST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The folders in a list: one a line, or with colons between them (musl).
fn folders(text: &str) -> Vec<PathBuf> {
    let words = text.split(['\n', ':']).map(|word| word.split('#').next().unwrap_or_default().trim());
    words.filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_lists_are_read_inside_the_root() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n/lib\n");
        write("etc/ld.so.conf.d/app.conf", "# ours\n/opt/shop/lib  # all of it\n");
        write("etc/ld-musl-x86_64.path", "/lib:/usr/shop/lib");
        let found = places(root.path(), OsStr::new("libshop.so"));
        for expected in ["/lib/libshop.so", "/opt/shop/lib/libshop.so", "/usr/shop/lib/libshop.so", "/libshop.so"] {
            assert_eq!(found.iter().filter(|place| *place == Path::new(expected)).count(), 1, "{expected}");
        }
    }

    #[test]
    fn only_a_name_without_a_folder_is_bare() {
        assert_eq!(bare(Path::new("libc.so.6")), Some(OsStr::new("libc.so.6")));
        for other in ["/libc.so.6", "lib/libc.so.6", "..", ".", ""] {
            assert_eq!(bare(Path::new(other)), None, "{other}");
        }
    }
}
