//! How much memory may be taken so that nothing has to be killed for it: what the machine can spare, and what the
//! limits of the cgroup that this process is in, and of all above it, leave.
//!
//! Where a limit cannot be read nothing is said to be spare. Specification: proc(5), `meminfo`; Linux
//! Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files", and cgroup-v1/memory.rst.

use std::fs;
use std::path::{Path, PathBuf};

use procfs::process::MountInfos;

use super::live::read;

/// Of the machine's memory, and of a group's limit, this part is left alone: a sixteenth, at least so many bytes.
const KEPT: u64 = 16;
const MIN_KEPT: u64 = 64 << 20;
/// Of what is left besides, so much may be taken: seven eighths.
const TAKEN: (u64, u64) = (7, 8);

/// Who limits the memory of this process.
#[derive(Debug)]
pub(super) struct Spare {
    /// Its group and those above it; `None` where there are some that cannot be seen.
    groups: Option<Vec<Group>>,
}

/// A group of processes with what limits its memory.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    folder: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A limit and what of it is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    limit: u64,
    free: u64,
}

impl Account {
    /// Bytes that may be taken in all, when so many are taken already.
    fn spare(self, taken: u64) -> u64 {
        let kept = (self.limit / KEPT).max(MIN_KEPT);
        let free = self.free.saturating_add(taken).saturating_sub(kept);
        free / TAKEN.1 * TAKEN.0
    }
}

impl Spare {
    /// Looks where this process stands.
    pub(super) fn find() -> Spare {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = read::<MountInfos>(std::process::id(), "mountinfo").map(|mounts| mounts.0).unwrap_or_default();
        let mounts: Vec<Mount> = mounts
            .into_iter()
            .filter_map(|mount| {
                let version = match mount.fs_type.as_str() {
                    "cgroup2" => Version::Two,
                    "cgroup" if mount.super_options.contains_key("memory") => Version::One,
                    _ => return None,
                };
                Some(Mount { version, root: mount.root, at: mount.mount_point })
            })
            .collect();
        Spare { groups: groups(&own, &mounts) }
    }

    /// Bytes that may be taken in all, when so many are taken already; `None` where that cannot be known.
    pub(super) fn bytes(&self, taken: u64) -> Option<u64> {
        let machine = machine(&fs::read_to_string("/proc/meminfo").ok()?)?;
        self.groups.as_ref()?.iter().try_fold(machine.spare(taken), |least, group| match group.account() {
            Found::Limited(account) => Some(least.min(account.spare(taken))),
            Found::Free => Some(least),
            Found::Unknown => None,
        })
    }
}

/// Where a hierarchy of groups is to be seen.
struct Mount {
    version: Version,
    /// The group that stands there.
    root: String,
    at: PathBuf,
}

/// The group of `own`, the lines of `/proc/self/cgroup`, that limits memory, and those above it as far as they are to
/// be seen; none on a kernel without groups.
fn groups(own: &str, mounts: &[Mount]) -> Option<Vec<Group>> {
    // `hierarchy:controllers:path`; version 2 has hierarchy 0 and names none.
    let mut lines = own.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    let first = lines.clone().find(|(_, controllers, _)| controllers.split(',').any(|name| name == "memory"));
    let second = lines.find(|(hierarchy, controllers, _)| *hierarchy == "0" && controllers.is_empty());
    let (version, path) = match (first, second) {
        (Some((_, _, path)), _) => (Version::One, path),
        (None, Some((_, _, path))) => (Version::Two, path),
        (None, None) => return Some(Vec::new()),
    };
    let mount = mounts.iter().find(|mount| mount.version == version)?;
    // In a container the group's own path may be that of the host, of which only a part is mounted.
    let below = Path::new(path).strip_prefix(&mount.root).unwrap_or(Path::new(""));
    let is_plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let folder: PathBuf =
        if is_plain { mount.at.components().chain(below.components()).collect() } else { mount.at.clone() };
    let above = folder.ancestors().take_while(|folder| folder.starts_with(&mount.at));
    Some(above.map(|folder| Group { folder: folder.to_owned(), version }).collect())
}

/// What is known of a group.
enum Found {
    Limited(Account),
    /// It has no limit.
    Free,
    Unknown,
}

impl Group {
    fn account(&self) -> Found {
        let file = |name: &str| fs::read_to_string(self.folder.join(name)).ok();
        let number = |name: &str| file(name).map(|text| text.trim().parse::<u64>().unwrap_or(u64::MAX));
        let (limits, used, prefix) = match self.version {
            Version::Two => ([number("memory.max"), number("memory.high")], number("memory.current"), ""),
            Version::One => ([number("memory.limit_in_bytes"), None], number("memory.usage_in_bytes"), "total_"),
        };
        // All groups of version 1 have one; of version 2 not the one that is all of the machine.
        if limits == [None, None] && (self.version == Version::One || !self.folder.is_dir()) {
            return Found::Unknown;
        }
        let limit = limits.into_iter().flatten().min().unwrap_or(u64::MAX);
        // Version 1 says "no limit" as the largest number of whole pages.
        if limit >= i64::MAX as u64 / 4096 * 4096 {
            return Found::Free;
        }
        let (Some(used), Some(stat)) = (used, file("memory.stat")) else { return Found::Unknown };
        Found::Limited(Account { limit, free: limit.saturating_sub(used.saturating_sub(reclaimable(&stat, prefix))) })
    }
}

/// Bytes of files that the kernel can drop at once: neither in use of late nor to be written first. Names of version 1
/// have a prefix where they count the groups below, too, and others for what is to be written.
fn reclaimable(stat: &str, prefix: &str) -> u64 {
    let field = |name: &str| {
        let of = |line: &str| line.strip_prefix(prefix)?.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
        stat.lines().find_map(of).unwrap_or(0u64)
    };
    let unwritten = ["file_dirty", "file_writeback", "dirty", "writeback"].map(field);
    unwritten.into_iter().fold(field("inactive_file"), u64::saturating_sub)
}

/// `MemTotal` and `MemAvailable`.
fn machine(meminfo: &str) -> Option<Account> {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Account { limit: field("MemTotal")?, free: field("MemAvailable")? })
}

/// While this lives, this process is the first to be killed where memory runs short all the same: the process that was
/// dumped goes on then, and nothing is left of the dump.
#[derive(Debug)]
pub(super) struct Expendable {
    before: Option<String>,
}

// Source: proc(5), `oom_score_adj`: the largest value.
const OOM_SCORE: &str = "/proc/self/oom_score_adj";
const FIRST: &str = "1000";

impl Expendable {
    pub(super) fn new() -> Expendable {
        let before = fs::read_to_string(OOM_SCORE).ok();
        // Where it cannot be written the margin has to do.
        let _ = fs::write(OOM_SCORE, FIRST);
        Expendable { before }
    }
}

impl Drop for Expendable {
    fn drop(&mut self) {
        // Nothing can be done where that is refused.
        let _ = self.before.as_deref().map(|before| fs::write(OOM_SCORE, before.trim()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn mount(version: Version, root: &str, at: &str) -> Mount {
        Mount { version, root: root.to_owned(), at: at.into() }
    }

    fn folders(own: &str, mounts: &[Mount]) -> Option<Vec<String>> {
        let groups = groups(own, mounts)?;
        Some(groups.iter().map(|group| group.folder.display().to_string()).collect())
    }

    #[test]
    fn a_group_and_all_above_it_are_asked() {
        let two = [mount(Version::Two, "/", "/sys/fs/cgroup")];
        assert_eq!(
            folders("0::/user.slice/a\n", &two).expect("seen"),
            ["/sys/fs/cgroup/user.slice/a", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"]
        );
        let one = [mount(Version::Two, "/", "/cg/unified"), mount(Version::One, "/", "/cg/memory")];
        let own = "9:name=systemd:/\n4:memory:/job\n0::/\n";
        assert_eq!(folders(own, &one).expect("seen"), ["/cg/memory/job", "/cg/memory"]);
    }

    #[test]
    fn of_a_container_that_part_is_asked_that_is_mounted() {
        let mounts = [mount(Version::One, "/docker/4711", "/sys/fs/cgroup/memory")];
        assert_eq!(folders("4:memory:/docker/4711\n", &mounts).expect("seen"), ["/sys/fs/cgroup/memory"]);
        let mounts = [mount(Version::Two, "/", "/sys/fs/cgroup")];
        assert_eq!(folders("0::/../other\n", &mounts).expect("seen"), ["/sys/fs/cgroup"]);
    }

    #[test]
    fn groups_that_cannot_be_seen_are_not_taken_for_none() {
        assert_eq!(folders("0::/\n", &[]), None);
        assert_eq!(folders("4:memory:/job\n", &[mount(Version::Two, "/", "/cg")]), None);
        assert_eq!(folders("", &[]), Some(Vec::new()));
    }

    #[test]
    fn files_count_as_free_only_where_they_can_be_dropped_at_once() {
        let two = "anon 5\nfile_dirty 30\nfile_writeback 20\ninactive_file 100\nactive_file 900\n";
        assert_eq!(reclaimable(two, ""), 50);
        let one = "inactive_file 7\ndirty 1\ntotal_inactive_file 100\ntotal_dirty 30\ntotal_writeback 80\n";
        assert_eq!(reclaimable(one, "total_"), 0);
    }

    #[test]
    fn a_margin_is_left_alone() {
        // A sixteenth of 1 GiB and the smallest margin are the same: 64 MiB; seven eighths of what is left then.
        let account = Account { limit: 1024 * MIB, free: 464 * MIB };
        assert_eq!(account.spare(0), 350 * MIB);
        let later = Account { free: 264 * MIB, ..account };
        assert_eq!(later.spare(200 * MIB), 350 * MIB, "what is taken already does not count twice");
        assert_eq!(Account { limit: 80 * MIB, free: 60 * MIB }.spare(0), 0);
    }

    #[test]
    fn the_machines_numbers_are_read_or_nothing_is_taken() {
        let text = "MemTotal:       24674304 kB\nMemFree:          1024 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(machine(text), Some(Account { limit: 24674304 << 10, free: 2 * MIB }));
        assert_eq!(machine("MemTotal: 1024 kB\n"), None);
    }

    /// A folder with the files of a group.
    fn group(version: Version, files: &[(&str, &str)]) -> (tempfile::TempDir, Group) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        let group = Group { folder: folder.path().to_owned(), version };
        (folder, group)
    }

    fn free(version: Version, files: &[(&str, &str)]) -> Option<u64> {
        let (_folder, group) = group(version, files);
        match group.account() {
            Found::Limited(account) => Some(account.free),
            Found::Free => Some(u64::MAX),
            Found::Unknown => None,
        }
    }

    #[test]
    fn the_lower_of_two_limits_holds_and_what_cannot_be_read_is_unknown() {
        let two = |max: &'static str, high: &'static str| {
            [
                ("memory.max", max),
                ("memory.high", high),
                ("memory.current", "600\n"),
                ("memory.stat", "inactive_file 100\n"),
            ]
        };
        assert_eq!(free(Version::Two, &two("1000\n", "max\n")), Some(500));
        assert_eq!(free(Version::Two, &two("1000\n", "800\n")), Some(300));
        assert_eq!(free(Version::Two, &two("max\n", "max\n")), Some(u64::MAX));
        assert_eq!(free(Version::Two, &two("max\n", "500\n")), Some(0));
        assert_eq!(free(Version::Two, &[("memory.max", "1000\n")]), None);
        assert_eq!(free(Version::Two, &[]), Some(u64::MAX), "the group of all processes");
        assert_eq!(free(Version::One, &[]), None);
        let one = [
            ("memory.limit_in_bytes", "1000\n"),
            ("memory.usage_in_bytes", "900\n"),
            ("memory.stat", "inactive_file 1\ntotal_inactive_file 50\n"),
        ];
        assert_eq!(free(Version::One, &one), Some(150));
        assert_eq!(free(Version::One, &[("memory.limit_in_bytes", "9223372036854771712\n")]), Some(u64::MAX));
    }
}
