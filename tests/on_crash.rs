//! The kernel's core_pattern handler, fed a real core as the kernel would. That the kernel itself starts it was tried by hand: the
//! setting is the whole machine's, and other tests need it as it is.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Output, dump, dumpscope};

/// A folder of this test's own, closed to others.
fn folder(name: &str) -> PathBuf {
    // Below /tmp, which is sticky: the folders above a build may belong to anybody.
    let dir = std::env::temp_dir().join(format!("dumpscope-on-crash-{name}-{}", std::process::id()));
    std::fs::create_dir(&dir).expect("it can be made");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).expect("ours");
    dir
}

/// What `%P %I %s %t %u %g %d %e` stand for.
const CRASH: [&str; 8] = ["4711", "4712", "11", "1700000000", "65534", "65534", "1", "shop"];

fn handle(input: &Path, dir: &Path, options: &[&str], crash: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command
        .args(["collect", "--dir"])
        .arg(dir)
        .args(options)
        // How full the disk of the test is says nothing.
        .args(if options.contains(&"--keep-free") { &[][..] } else { &["--keep-free", "0"] })
        .arg("--on-crash")
        .args(crash)
        .current_dir("/")
        .env_clear();
    let finished =
        command.stdin(File::open(input).expect("the input")).stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let finished = finished.expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output {
        status: finished.status,
        stdout: text(&finished.stdout),
        stderr: text(&finished.stderr),
        elapsed: Default::default(),
    }
}

/// The names in a folder.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("it is there");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn small(dir: &Path) -> PathBuf {
    let input = dir.with_extension("input");
    std::fs::write(&input, [7; 10_000]).expect("an input");
    input
}

fn remove(dir: &Path) {
    std::fs::remove_dir_all(dir).expect("ours");
    let _ = std::fs::remove_file(dir.with_extension("input"));
}

#[test]
fn a_core_is_stored_whole_sparse_and_for_its_owner_alone() {
    let dump = dump("deadlock", "glibc");
    let dir = folder("whole");
    let output = handle(&dump.core(), &dir, &[], &CRASH).expect_status(0);
    assert_eq!(names(&dir), ["core.shop.4711.1700000000"]);
    let stored = dir.join("core.shop.4711.1700000000");
    assert!(output.stderr.contains(&*stored.to_string_lossy()), "{}", output.stderr);
    let (original, copy) = (std::fs::read(dump.core()).expect("a core"), std::fs::read(&stored).expect("a core"));
    assert!(original == copy, "the same bytes");
    let metadata = std::fs::metadata(&stored).expect("there");
    assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o600, 0), "root's alone");
    let zeros = original.chunks(4096).filter(|page| page.iter().all(|byte| *byte == 0)).count() as u64;
    assert!(metadata.blocks() * 512 + zeros * 4096 / 2 < metadata.len() + 65_536, "zeros take no room");
    let threads = dumpscope!("analyze", &stored, "-c", "threads", "--json").expect_status(0).data("threads");
    assert!(threads["threads"].as_array().is_some_and(|threads| threads.len() > 1));
    remove(&dir);
}

#[test]
fn a_core_beyond_the_limit_is_cut_and_says_so() {
    let dump = dump("deadlock", "glibc");
    let dir = folder("cut");
    let output = handle(&dump.core(), &dir, &["--max-size", "100K"], &CRASH).expect_status(0);
    assert!(output.stderr.contains("cut: the size limit was reached"), "{}", output.stderr);
    assert_eq!(names(&dir), ["core.shop.4711.1700000000.truncated"]);
    let stored = dir.join("core.shop.4711.1700000000.truncated");
    assert_eq!(std::fs::metadata(&stored).expect("there").len(), 100 << 10);
    dumpscope!("analyze", &stored, "-c", "threads").expect_status(0);
    remove(&dir);
}

#[test]
fn no_file_is_replaced() {
    let dir = folder("same");
    let input = small(&dir);
    for _ in 0..3 {
        handle(&input, &dir, &[], &CRASH).expect_status(0);
    }
    let name = "core.shop.4711.1700000000";
    assert_eq!(names(&dir), [name.to_owned(), format!("{name}.1"), format!("{name}.2")]);
    remove(&dir);
}

#[test]
fn a_link_in_the_way_is_not_followed() {
    let dir = folder("link");
    let input = small(&dir);
    let victim = dir.join("victim");
    std::fs::write(&victim, "mine").expect("a victim");
    symlink(&victim, dir.join("core.shop.4711.1700000000")).expect("a link");
    handle(&input, &dir, &[], &CRASH).expect_status(0);
    assert_eq!(std::fs::read_to_string(&victim).expect("there"), "mine");
    assert!(names(&dir).contains(&"core.shop.4711.1700000000.1".to_owned()), "{:?}", names(&dir));
    remove(&dir);
}

#[test]
fn a_crash_loop_is_not_stored_for_ever() {
    let dir = folder("rate");
    let input = small(&dir);
    for _ in 0..2 {
        handle(&input, &dir, &["--max-rate", "2"], &CRASH).expect_status(0);
    }
    let output = handle(&input, &dir, &["--max-rate", "2"], &CRASH).expect_status(1);
    assert!(output.stderr.contains("2 cores within 60 s"), "{}", output.stderr);
    assert_eq!(names(&dir).len(), 2);
    remove(&dir);
}

#[test]
fn crashes_at_the_same_moment_are_counted_together() {
    let dir = folder("race");
    let input = small(&dir);
    let stored = std::thread::scope(|scope| {
        let handlers: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| handle(&input, &dir, &["--max-rate", "4"], &CRASH).status.success()))
            .collect();
        handlers
            .into_iter()
            .filter(|_| true)
            .map(|handler| handler.join().expect("no panic"))
            .filter(|done| *done)
            .count()
    });
    assert_eq!((stored, names(&dir).len()), (4, 4));
    remove(&dir);
}

#[test]
fn free_space_is_kept() {
    let dir = folder("full");
    let input = small(&dir);
    let output = handle(&input, &dir, &["--keep-free", "100"], &CRASH).expect_status(1);
    assert!(output.stderr.contains("less than 100 %"), "{}", output.stderr);
    assert_eq!(names(&dir), Vec::<String>::new());
    remove(&dir);
}

#[test]
fn a_file_system_that_fills_up_leaves_no_part_behind() {
    let dir = folder("enospc");
    let input = small(&dir);
    std::fs::write(&input, vec![7; 4 << 20]).expect("an input larger than the file system");
    let disk = dir.join("disk");
    std::fs::create_dir(&disk).expect("a mount point");
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"]).arg(&disk).status();
    assert!(mount.expect("mount is there").success(), "root may mount");
    // Told in advance, it is cut at what is free; a disk that others fill meanwhile is the next case.
    let cut = handle(&input, &disk, &["--keep-free", "0"], &CRASH);
    let cut_names = names(&disk);
    let unmounted = Command::new("umount").arg(&disk).status();
    cut.expect_status(0);
    assert_eq!(cut_names, ["core.shop.4711.1700000000.truncated"]);
    assert!(unmounted.expect("umount is there").success());
    remove(&dir);
}

#[test]
fn folders_that_others_may_change_are_refused() {
    let dir = folder("place");
    let input = small(&dir);
    let refused = |place: &Path, words: &str| {
        let output = handle(&input, place, &[], &CRASH).expect_status(1);
        assert!(output.stderr.contains(words), "{}: {}", place.display(), output.stderr);
        assert_eq!(names(place), Vec::<String>::new());
    };
    for (name, mode) in [("group", 0o770), ("world", 0o777)] {
        let open = dir.join(name);
        std::fs::create_dir(&open).expect("made");
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(mode)).expect("ours");
        refused(&open, "others may write to the folder");
        // A folder below it can be exchanged by them.
        let below = open.join("below");
        std::fs::create_dir(&below).expect("made");
        refused(&below, "others may write to the folder");
    }
    let foreign = dir.join("foreign");
    std::fs::create_dir(&foreign).expect("made");
    std::os::unix::fs::chown(&foreign, Some(65534), Some(65534)).expect("root may");
    refused(&foreign, "belongs to user 65534");
    handle(&input, Path::new("relative"), &[], &CRASH).expect_status(1);
    remove(&dir);
}

#[test]
fn a_missing_folder_is_made_for_its_owner_alone() {
    let dir = folder("made");
    let input = small(&dir);
    let place = dir.join("cores");
    handle(&input, &place, &[], &CRASH).expect_status(0);
    assert_eq!(std::fs::metadata(&place).expect("made").mode() & 0o7777, 0o700);
    handle(&input, &dir.join("a/b"), &[], &CRASH).expect_status(1);
    remove(&dir);
}

#[test]
fn a_name_that_looks_like_an_option_or_a_path_is_a_name() {
    let dir = folder("name");
    let input = small(&dir);
    for name in ["--to-user", "-h", "--install-line", "--dir=/etc", "../../x", "\x1b[2J"] {
        let mut crash = CRASH;
        crash[7] = name;
        let output = handle(&input, &dir, &["--max-rate", "100"], &crash).expect_status(0);
        assert!(output.stderr.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", output.stderr);
    }
    let names = names(&dir);
    assert_eq!(names.len(), 6, "{names:?}");
    for name in &names {
        assert!(name.starts_with("core.") && !name.contains(".."), "{name}");
        assert_eq!(std::fs::metadata(dir.join(name)).expect("there").uid(), 0, "{name}: no option was taken from it");
    }
    remove(&dir);
}

#[test]
fn a_core_goes_to_its_user_only_where_that_gives_nothing_away() {
    let dir = folder("user");
    let input = small(&dir);
    for (mode, owner) in [("1", 65534), ("0", 0), ("2", 0)] {
        let mut crash = CRASH;
        crash[6] = mode;
        crash[7] = mode;
        handle(&input, &dir, &["--to-user"], &crash).expect_status(0);
        let metadata = std::fs::metadata(dir.join(format!("core.{mode}.4711.1700000000"))).expect("there");
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (owner, 0o600), "dump mode {mode}");
    }
    remove(&dir);
}

#[test]
fn a_pipe_that_stays_open_is_left_in_time() {
    let dir = folder("time");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command
        .args(["collect", "--dir"])
        .arg(&dir)
        .args(["--keep-free", "0", "--max-time", "1", "--on-crash"])
        .args(CRASH);
    let mut handler = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut pipe = handler.stdin.take().expect("piped");
    pipe.write_all(&[7; 5_000]).expect("it reads");
    let output = handler.wait_with_output().expect("it ends although the pipe is open");
    drop(pipe);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(names(&dir), ["core.shop.4711.1700000000.truncated"]);
    assert_eq!(std::fs::metadata(dir.join("core.shop.4711.1700000000.truncated")).expect("there").len(), 5_000);
    remove(&dir);
}

#[test]
fn nothing_on_standard_input_leaves_nothing() {
    let dir = folder("empty");
    let output = handle(Path::new("/dev/null"), &dir, &[], &CRASH).expect_status(1);
    assert!(output.stderr.contains("standard input is empty"), "{}", output.stderr);
    assert_eq!(names(&dir), Vec::<String>::new());
    handle(Path::new("/dev/null"), &dir, &[], &CRASH[..3]).expect_status(2);
    remove(&dir);
}

#[test]
fn the_line_that_installs_it_names_a_program_that_only_root_can_change() {
    let dir = folder("line");
    let program = dir.join("dumpscope");
    support::copy_program(env!("CARGO_BIN_EXE_dumpscope"), &program);
    let line = |options: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["collect", "--install-line"]).args(options);
        support::run(command)
    };
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let printed = line(&["--max-size", "2G"]).expect_status(0).stdout;
    let expected = format!(
        "echo 16 > /proc/sys/kernel/core_pipe_limit; echo '|{} collect --max-size 2147483648 --on-crash %P %I %s %t %u %g %d %e' \
         > /proc/sys/kernel/core_pattern\n",
        program.display()
    );
    // The path may be too long for the kernel here: then that is what is said.
    if program.as_os_str().len() < 40 {
        assert_eq!(printed, expected);
    }
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o775)).expect("ours");
    let said = line(&[]).expect_status(1).stderr;
    assert!(said.contains("others than root may change the program"), "{said}");
    remove(&dir);
}
