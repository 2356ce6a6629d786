//! The scripts around the tests: what they take for a tool, whether they install all that the tests call, and what they do where signals
//! come ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{repository, run};

/// What a function of a script that is sourced prints.
fn sourced(script: &str, commands: &str) -> String {
    let mut command = Command::new("bash");
    command.args(["-c", &format!(". {script}; {commands}")]).current_dir(repository());
    run(command).expect_status(0).stdout
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The tools that `tests/run` installs, with the packages that have them.
fn installed() -> BTreeMap<String, String> {
    let list = sourced("tests/install.sh", "build_tools; test_tools");
    let pairs = list.lines().map(|line| line.split_once(' ').expect("a tool and a package"));
    pairs.map(|(tool, package)| (tool.to_owned(), package.to_owned())).collect()
}

#[test]
fn what_the_shell_can_do_itself_is_no_tool() {
    for name in ["kill", "echo", "test"] {
        let found = sourced("tests/install.sh", &format!("PATH=/nowhere; has_tool {name} && echo found; true"));
        assert_eq!(found, "", "{name} is bash's own word, and no file of PATH");
        let needed = format!("NAME=a VARIANT=b PATH=/nowhere; (need {name} package) 2>&1; true");
        assert!(sourced("fixtures/lib.sh", &needed).contains("needs"), "{name}");
    }
    assert_eq!(sourced("tests/install.sh", "has_tool sh && echo found"), "found\n");
}

#[test]
fn what_recipes_need_is_installed() {
    let installed = installed();
    let mut recipes = Vec::new();
    files(&repository().join("fixtures"), &mut recipes);
    // In every Debian, however small: its packages are essential, or those of apt.
    let always = ["apt-get", "dpkg-deb"];
    let mut seen = 0;
    for path in
        recipes.iter().filter(|path| path.ends_with("recipe") || path.extension().is_some_and(|end| end == "sh"))
    {
        let text = std::fs::read_to_string(path).expect("a script");
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("need ")) {
            let (tool, package) = line.split_once(' ').unwrap_or_else(|| panic!("{}: need {line}", path.display()));
            seen += 1;
            let right = always.contains(&tool) || installed.get(tool).is_some_and(|known| known == package);
            assert!(right, "{}: `need {line}` is not in tests/install.sh", path.display());
        }
    }
    assert!(seen > 10, "the recipes were read");
}

#[test]
fn what_tests_start_is_installed() {
    let installed = installed();
    let mut sources = Vec::new();
    files(&repository().join("tests"), &mut sources);
    // Essential packages of Debian (bash, coreutils, dash, sed), and Rust's own.
    let always = ["bash", "chroot", "cp", "env", "id", "sed", "sh", "sleep", "timeout", "true", "cargo", "rustc"];
    let mut seen = BTreeSet::new();
    for path in sources.iter().filter(|path| path.extension().is_some_and(|end| end == "rs")) {
        let text = std::fs::read_to_string(path).expect("a source");
        for rest in text.split("Command::new(\"").skip(1) {
            let tool = rest.split('"').next().expect("a name");
            let known =
                tool.starts_with('/') || always.contains(&tool) || installed.contains_key(tool) || tool == "python3";
            assert!(known, "{}: {tool} is not in tests/install.sh", path.display());
            seen.insert(tool.to_owned());
        }
    }
    assert!(seen.contains("kill") && seen.len() > 10, "{seen:?}");
}

#[test]
fn a_fixture_dies_of_a_signal_that_comes_ignored_and_blocked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Without the default effect it would wait for ever. timeout(1) has effects of its own, so it comes first.
    let mut command = Command::new("timeout");
    command.args(["100", "env", "--ignore-signal=QUIT", "--block-signal=QUIT"]).arg(repository().join("fixtures/make"));
    command.args(["crash", "killed-quit"]).env("DUMPSCOPE_FIXTURES", folder.path());
    run(command).expect_status(0);
    let core = std::fs::metadata(folder.path().join("crash/killed-quit/core")).expect("the kernel's core");
    assert!(core.len() > 0);
}
