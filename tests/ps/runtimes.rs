//! Each runtime, recognised with the version that its own tools print.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Dotnet, Started, said};

use super::{row, scratch};

/// The one runtime of a row: kind and version.
#[track_caller]
fn runtime(row: &Value) -> (&str, &str) {
    let runtimes = row["runtimes"].as_array().expect("a list");
    assert_eq!(runtimes.len(), 1, "{runtimes:?}");
    assert!(runtimes[0]["evidence"].as_str().is_some_and(|text| text.len() > 10), "{runtimes:?}");
    (runtimes[0]["kind"].as_str().expect("a word"), runtimes[0]["version"].as_str().unwrap_or("null"))
}

#[track_caller]
fn found_by(name: &str) -> u32 {
    dumpscope::processes::find(name, &dumpscope::job::Job::default())
        .map(|found| found.pid)
        .unwrap_or_else(|why| panic!("{why}"))
}

fn python(program: &str) {
    let script = scratch("python").join(format!("app{}_{}.py", std::process::id(), program.len()));
    std::fs::write(&script, "print('ready', flush=True)\nimport sys\nsys.stdin.read()\n").expect("a script");
    let (process, _) = Started::ready(Command::new(program).arg("-u").arg(&script), "python3");
    let row = row(process.pid());
    let version = said(program, &["-c", "import platform; print(platform.python_version())"], "python3");
    assert_eq!(runtime(&row), ("python", version.as_str()));
    assert_eq!(row["entry"], script.to_str().expect("plain"));
    assert_eq!(found_by(&script.file_stem().expect("a name").to_string_lossy()), process.pid());
}

#[test]
fn python_of_the_system() {
    python("/usr/bin/python3");
}

/// Where another one stands first on PATH, it may be linked against libpython.
#[test]
fn python_on_path() {
    python("python3");
}

#[test]
fn node() {
    let script = scratch("node").join(format!("server{}.js", std::process::id()));
    std::fs::write(&script, "console.log('ready'); setInterval(() => {}, 1000)").expect("a script");
    let (process, _) = Started::ready(Command::new("node").arg(&script), "nodejs");
    let row = row(process.pid());
    let version = said("node", &["--version"], "nodejs");
    assert_eq!(runtime(&row), ("node", version.trim_start_matches('v')));
    assert_eq!(row["entry"], script.to_str().expect("plain"));
    assert_eq!(found_by(&script.file_name().expect("a name").to_string_lossy()), process.pid());
}

/// A class that prints its runtime's version and sleeps: the folder and the name.
fn java_class(label: &str) -> (PathBuf, String) {
    let dir = scratch(label);
    // One name for each test: they may run in one process, at the same time.
    let name = format!("Main{}x{}", std::process::id(), label.len());
    let source = dir.join(format!("{name}.java"));
    let text = format!(
        "package shop; public class {name} {{ public static void main(String[] a) throws Exception {{ \
         System.out.println(System.getProperty(\"java.version\")); Thread.sleep(300000); }} }}"
    );
    std::fs::write(&source, text).expect("a source");
    said("javac", &["-d", dir.to_str().expect("plain"), source.to_str().expect("plain")], "default-jdk-headless");
    (dir, name)
}

#[test]
fn java() {
    let (dir, name) = java_class("java");
    let class = format!("shop.{name}");
    let mut command = Command::new("java");
    let (process, version) =
        Started::ready(command.arg("-Xmx64m").arg("-cp").arg(&dir).arg(&class), "default-jre-headless");
    let row = row(process.pid());
    assert_eq!(runtime(&row), ("jvm", version.as_str()));
    assert_eq!(row["entry"], class.as_str());
    assert_eq!(found_by(&class), process.pid());
    assert_eq!(found_by(&name), process.pid());
}

#[test]
fn java_whose_files_only_its_own_mount_namespace_has() {
    let (dir, name) = java_class("java-elsewhere");
    let home = said("java", &["-XshowSettings:properties", "-version"], "default-jre-headless");
    let home = home.lines().find_map(|line| line.trim().strip_prefix("java.home = ")).expect("it tells its home");
    let elsewhere = dir.join("home");
    std::fs::create_dir_all(&elsewhere).expect("a mount point");
    let script = "mount --bind \"$0\" \"$1\" && exec \"$1/bin/java\" -Xmx64m -cp \"$2\" \"shop.$3\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, home]).arg(&elsewhere).arg(&dir).arg(&name);
    let (process, version) = Started::ready(&mut command, "default-jre-headless");
    assert!(!elsewhere.join("bin").exists(), "the test itself does not see it");
    assert_eq!(runtime(&row(process.pid())), ("jvm", version.as_str()));
}

fn go(flags: &str) {
    let dir = scratch(&format!("go{}", flags.len()));
    let source = dir.join("main.go");
    std::fs::write(
        &source,
        "package main\nimport (\"fmt\"; \"runtime\"; \"time\")\nfunc main() { fmt.Println(runtime.Version()); time.Sleep(time.Hour) }\n",
    )
    .expect("a source");
    let program = dir.join("program");
    let built = Command::new("go")
        .args(["build", "-ldflags", flags, "-o"])
        .arg(&program)
        .arg(&source)
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-cache"))
        .env("GOFLAGS", "")
        .output()
        .unwrap_or_else(|why| panic!("go: {why}; apt-get install golang-go"));
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let (process, version) = Started::ready(&mut Command::new(&program), "golang-go");
    let row = row(process.pid());
    assert_eq!(runtime(&row), ("go", version.trim_start_matches("go")));
}

#[test]
fn go_with_symbols() {
    go("");
}

#[test]
fn go_stripped() {
    go("-s -w");
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn every_dotnet_there_is() {
    let dotnet = Dotnet::find();
    let dir = scratch("dotnet");
    let name = format!("Idle{}", std::process::id());
    for file in ["dll", "runtimeconfig.json"] {
        let from = support::repository().join(format!("fixtures/dotnet-idle/Idle.{file}"));
        std::fs::copy(from, dir.join(format!("{name}.{file}"))).expect("a copy under a name of its own");
    }
    let program = dir.join(format!("{name}.dll"));
    for (version, _) in &dotnet.runtimes {
        let (process, printed) = Started::ready(&mut dotnet.command(version, &program), "dotnet-runtime-8.0");
        let row = row(process.pid());
        assert_eq!(runtime(&row), ("dotnet", printed.as_str()));
        assert_eq!(row["entry"], program.to_str().expect("plain"));
        assert_eq!(found_by(&name), process.pid());
    }
}
