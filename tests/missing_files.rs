//! A core without its files: opened as far as it goes, with what is missing, where it was looked for and what would fix it;
//! the right file is taken wherever the user says it is, and a wrong one is refused by name.

use std::path::{Path, PathBuf};

use support::{Output, Stack, build, dump, dumpscope, repository};

/// A core of the deadlock program whose executable is gone, and a copy of that executable elsewhere.
struct Moved {
    folder: PathBuf,
    truth: support::Truth,
}

impl Moved {
    fn new(name: &str) -> Moved {
        let dump = dump("deadlock", "glibc");
        let folder = repository().join("target/fixtures/moved").join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        // The recorded path, in all its places in the core, becomes one of the same length where nothing is.
        let path = dump.exe().to_str().expect("UTF-8").as_bytes().to_vec();
        let gone: Vec<u8> = path.iter().map(|byte| if *byte == b'e' { b'3' } else { *byte }).collect();
        let mut core = std::fs::read(dump.core()).expect("the core");
        let mut at = 0;
        while let Some(found) = core.get(at..).and_then(|rest| find(rest, &path)) {
            at += found;
            core[at..at + path.len()].copy_from_slice(&gone);
        }
        std::fs::write(folder.join("core"), core).expect("the changed core");
        std::fs::copy(dump.exe(), folder.join("orders")).expect("the executable");
        Moved { folder, truth: dump.truth() }
    }

    fn core(&self) -> PathBuf {
        self.folder.join("core")
    }

    fn names_worker_3(&self, output: &Output) -> bool {
        let stacks = Stack::all(&output.data("stack"));
        let tid = self.truth.tid("worker-3");
        let stack = stacks.iter().find(|stack| stack.tid == tid).expect("worker-3");
        stack.functions().contains(&"reserve")
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        // Left behind, it costs disk and nothing else.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    // The paths end a line of a note or a string of the stack; a byte scan of 68 MB, mostly zero, by its rarest byte.
    let mut at = 0;
    loop {
        at += haystack.get(at..)?.iter().position(|byte| *byte == b'/')?;
        if haystack.get(at..at + needle.len())? == needle {
            return Some(at);
        }
        at += 1;
    }
}

/// The warnings of a command's document.
fn warnings_of(output: &Output, command: &str) -> String {
    let document = output.documents().into_iter().find(|document| document["command"] == command);
    document.expect("the command's document")["warnings"].to_string()
}

#[test]
fn without_its_executable_the_locks_are_known_and_the_file_is_asked_for() {
    let moved = Moved::new("without");
    let output =
        dumpscope!("analyze", moved.core(), "--offline", "--json", "-c", "stack --all", "-c", "locks").expect_status(0);
    assert!(!moved.names_worker_3(&output));
    let deadlocks = output.data("locks")["deadlocks"].as_array().expect("deadlocks").len();
    assert_eq!(deadlocks, 3, "owners are in the core itself");
    let warnings = warnings_of(&output, "locks");
    for words in ["not found", "build id", "--exe"] {
        assert!(warnings.contains(words), "no '{words}' in {warnings}");
    }
}

#[test]
fn the_moved_executable_is_taken_when_its_build_id_is_right() {
    let moved = Moved::new("moved");
    let exe = moved.folder.join("orders");
    let output =
        dumpscope!("analyze", moved.core(), "--exe", &exe, "--offline", "--json", "-c", "stack --all").expect_status(0);
    assert!(moved.names_worker_3(&output), "{}", output.stderr);
}

#[test]
fn an_executable_of_another_build_is_refused_by_name() {
    let moved = Moved::new("other");
    let other = build("deadlock", "glibc-nopie").join("exe");
    let output = dumpscope!("analyze", moved.core(), "--exe", &other, "--offline", "--json", "-c", "stack --all")
        .expect_status(0);
    assert!(!moved.names_worker_3(&output));
    let warnings = warnings_of(&output, "stack");
    assert!(warnings.contains(other.to_str().expect("UTF-8")) && warnings.contains("build id"), "{warnings}");

    // Under the name that the dump has, it is the module's own file that is refused.
    let renamed = moved.folder.join("3x3");
    std::fs::copy(&other, &renamed).expect("a copy");
    let output =
        dumpscope!("analyze", moved.core(), "--exe", &renamed, "--offline", "--json", "-c", "stack").expect_status(0);
    let warnings = warnings_of(&output, "stack");
    assert!(warnings.contains(renamed.to_str().expect("UTF-8")) && warnings.contains("refused"), "{warnings}");
}

#[test]
fn a_sysroot_stands_for_the_dumped_machine() {
    let moved = Moved::new("sysroot");
    let gone = dump("deadlock", "glibc").exe().to_str().expect("UTF-8").replace('e', "3");
    let root = moved.folder.join("root");
    let inside = root.join(Path::new(&gone).strip_prefix("/").expect("absolute"));
    std::fs::create_dir_all(inside.parent().expect("a parent")).expect("folders");
    std::fs::copy(moved.folder.join("orders"), &inside).expect("the executable");
    let output = dumpscope!("analyze", moved.core(), "--sysroot", &root, "--offline", "--json", "-c", "stack --all")
        .expect_status(0);
    assert!(moved.names_worker_3(&output), "{}", output.stderr);
}
