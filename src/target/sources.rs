//! Where source files of the program are on this machine, if not where its debug information names them.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

/// Folders by which a path is shortened from its start before the search in a directory ends.
const MAX_FOLDERS: usize = 64;

/// A place of source files, as `--source` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourcePlace {
    /// A directory: files are looked for under each end of their path, the longest first.
    Directory(PathBuf),
    /// What was compiled below the first path is below the second one.
    Mapped(PathBuf, PathBuf),
}

impl SourcePlace {
    /// Paths at which this place may have a source file, the likeliest first. Nothing is opened.
    pub fn candidates(&self, file: &Path) -> Vec<PathBuf> {
        match self {
            SourcePlace::Mapped(from, to) => file.strip_prefix(from).map(|rest| to.join(rest)).into_iter().collect(),
            SourcePlace::Directory(directory) => {
                let names: Vec<Component<'_>> =
                    file.components().filter(|part| matches!(part, Component::Normal(_))).collect();
                // A path that climbs would leave the directory.
                if file.components().any(|part| part == Component::ParentDir) {
                    return file.file_name().map(|name| directory.join(name)).into_iter().collect();
                }
                let first = names.len().saturating_sub(MAX_FOLDERS);
                (first..names.len())
                    .map(|start| directory.join(names.iter().skip(start).collect::<PathBuf>()))
                    .collect()
            }
        }
    }

    /// The directory that has to be there.
    pub fn directory(&self) -> &Path {
        match self {
            SourcePlace::Directory(directory) | SourcePlace::Mapped(_, directory) => directory,
        }
    }
}

impl FromStr for SourcePlace {
    type Err = String;

    /// `DIR` or `FROM=TO`.
    fn from_str(text: &str) -> Result<SourcePlace, String> {
        match text.split_once('=') {
            Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok(SourcePlace::Mapped(from.into(), to.into())),
            Some(_) => Err("a directory, or FROM=TO with a path on both sides".to_owned()),
            None if text.is_empty() => Err("a directory, or FROM=TO".to_owned()),
            None => Ok(SourcePlace::Directory(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(place: &str, file: &str) -> Vec<String> {
        let place: SourcePlace = place.parse().unwrap();
        place.candidates(Path::new(file)).iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn a_directory_is_searched_under_each_end_of_the_path_the_longest_first() {
        assert_eq!(
            candidates("/home/me", "/build/shop/stock.cpp"),
            ["/home/me/build/shop/stock.cpp", "/home/me/shop/stock.cpp", "/home/me/stock.cpp"]
        );
    }

    #[test]
    fn a_mapping_stands_for_whole_folders_only() {
        assert_eq!(candidates("/build=/home/me", "/build/shop/stock.cpp"), ["/home/me/shop/stock.cpp"]);
        assert!(candidates("/build=/home/me", "/builder/stock.cpp").is_empty());
    }

    #[test]
    fn a_path_that_climbs_does_not_leave_the_directory() {
        assert_eq!(candidates("/home/me", "/build/../../etc/passwd"), ["/home/me/passwd"]);
    }

    #[test]
    fn half_a_mapping_is_refused() {
        assert!("=/x".parse::<SourcePlace>().is_err());
        assert!("/x=".parse::<SourcePlace>().is_err());
        assert!("".parse::<SourcePlace>().is_err());
    }
}
