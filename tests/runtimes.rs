//! Runtimes are named on the first screen, with what of them is not read, and leave no calm verdict: against what their own tools print.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use support::{Dotnet, Started, dumpscope, said, wait_for};

/// The `data` of `summary` of a live process.
fn summary(pid: u32) -> Value {
    dumpscope!("live", "-p", pid.to_string(), "--json", "-c", "summary").expect_status(0).data("summary")
}

fn scratch(name: &str) -> PathBuf {
    let dir =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("runtimes").join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the scratch folder can be made");
    dir
}

/// The summary names this runtime, in JSON and in the sentence, and says nothing calm.
#[track_caller]
fn is_named(summary: &Value, kind: &str, name: &str, version: &str, not_read: &str) {
    let runtimes = summary["runtimes"].as_array().expect("a list");
    assert_eq!(runtimes.len(), 1, "{runtimes:?}");
    assert_eq!((&runtimes[0]["kind"], &runtimes[0]["name"]), (&kind.into(), &name.into()));
    assert_eq!(runtimes[0]["version"], version, "{runtimes:?}");
    assert!(runtimes[0]["not_started"].is_null(), "{runtimes:?}");
    assert!(runtimes[0]["not_read"].as_array().is_some_and(|parts| parts.contains(&not_read.into())), "{runtimes:?}");
    let findings = summary["findings"].as_array().expect("a list");
    let title = |finding: &Value| finding["title"].as_str().expect("a title").to_owned();
    let unread = findings.iter().find(|finding| finding["rule"] == "unread-runtime").expect("it is said");
    assert!(title(unread).starts_with(&format!("{name} {version}: ")) && title(unread).contains(not_read), "{unread}");
    assert_eq!(unread["severity"], "warning");
    assert!(findings.iter().all(|finding| !title(finding).contains("nothing looks wrong")), "{findings:?}");
}

/// Two threads that each hold what the other wants, in Java's own monitors.
#[test]
fn a_java_deadlock_is_not_answered_with_calm() {
    let dir = scratch("java");
    let source = dir.join("Abba.java");
    let text = "public class Abba {
        static final Object A = new Object(), B = new Object();
        static final java.util.concurrent.CountDownLatch BOTH = new java.util.concurrent.CountDownLatch(2);
        static void take(Object first, Object second) {
            synchronized (first) { BOTH.countDown(); try { BOTH.await(); } catch (InterruptedException e) {} synchronized (second) {} }
        }
        public static void main(String[] a) throws Exception {
            new Thread(() -> take(A, B), \"one\").start(); new Thread(() -> take(B, A), \"two\").start();
            BOTH.await(); System.out.println(System.getProperty(\"java.version\"));
        } }";
    std::fs::write(&source, text).expect("a source");
    said("javac", &["-d", dir.to_str().expect("plain"), source.to_str().expect("plain")], "default-jdk-headless");
    let mut command = Command::new("java");
    let (process, version) =
        Started::ready(command.arg("-Xmx64m").arg("-cp").arg(&dir).arg("Abba"), "default-jre-headless");
    is_named(&summary(process.pid()), "jvm", "JVM", &version, "Java monitors");
}

#[test]
fn node_is_named() {
    let script = "console.log(process.versions.node); setInterval(() => {}, 1000)";
    let (process, version) = Started::ready(Command::new("node").args(["-e", script]), "nodejs");
    is_named(&summary(process.pid()), "node", "Node", &version, "JavaScript frames");
}

/// One thread holds both locks: the other waits for ever, in a semaphore as far as the kernel knows.
#[test]
fn python_is_named_where_its_locks_are_waited_for() {
    let script = "import platform, threading\nlock = threading.Lock()\nlock.acquire()\n\
                  threading.Thread(target=lock.acquire, daemon=True).start()\nprint(platform.python_version(), flush=True)\n\
                  import sys\nsys.stdin.read()";
    for program in ["/usr/bin/python3", "python3"] {
        let (process, version) = Started::ready(Command::new(program).args(["-c", script]), "python3");
        is_named(&summary(process.pid()), "python", "Python", &version, "Python locks");
    }
}

#[test]
fn go_is_named_stripped_too() {
    let dir = scratch("go");
    let source = dir.join("main.go");
    let text =
        "package main\nimport (\"fmt\"; \"runtime\")\nfunc main() { fmt.Println(runtime.Version()); select {} }\n";
    // A second goroutine keeps Go from calling this a deadlock itself.
    let text = text.replace("select {}", "go func() { var b [1]byte; for { syscall.Read(0, b[:]) } }(); select {}");
    std::fs::write(&source, text.replace("\"runtime\"", "\"runtime\"; \"syscall\"")).expect("a source");
    for flags in ["", "-s -w"] {
        let program = dir.join(format!("app{}", flags.len()));
        let mut build = Command::new("go");
        build.env("GOCACHE", dir.join("cache")).env("CGO_ENABLED", "0").args(["build", "-ldflags", flags, "-o"]);
        support::run({
            build.arg(&program).arg(&source);
            build
        })
        .expect_status(0);
        let (process, version) = Started::ready(&mut Command::new(&program), "golang-go");
        let version = version.strip_prefix("go").expect("a version");
        is_named(&summary(process.pid()), "go", "Go", version, "channels");
    }
}

#[test]
fn perl_whose_one_thread_shows_what_it_waits_for_is_a_note() {
    let script = "$| = 1; printf \"%vd\\n\", $^V; <STDIN>";
    let (process, version) = Started::ready(Command::new("perl").args(["-e", script]), "perl");
    wait_for("it to read", || {
        std::fs::read_to_string(format!("/proc/{}/syscall", process.pid())).is_ok_and(|call| call.starts_with("0 0x0 "))
    });
    let summary = summary(process.pid());
    let runtimes = summary["runtimes"].as_array().expect("a list");
    assert_eq!((&runtimes[0]["kind"], &runtimes[0]["version"]), (&"perl".into(), &version.into()), "{runtimes:?}");
    let findings = summary["findings"].as_array().expect("a list");
    let unread = findings.iter().find(|finding| finding["rule"] == "unread-runtime").expect("it is said");
    assert_eq!(unread["severity"], "note");
    assert!(findings.iter().any(|finding| finding["rule"] == "idle"), "{findings:?}");
}

/// A library that exports what CPython's does, in a program that never calls `Py_Initialize`, and in one that did.
#[test]
fn a_python_that_was_never_started_is_no_reason_for_doubt() {
    let dir = scratch("libpython");
    let compile = |arguments: &[&str]| {
        let mut command = Command::new("gcc");
        command.current_dir(&dir).args(arguments);
        support::run(command).expect_status(0);
    };
    // Source: CPython 3.11 Include/internal/pycore_runtime.h: the fifth int is `initialized`.
    let library = "int _PyRuntime[64] = {1}; const unsigned long Py_Version = 0x030b02f0; const char *Py_GetVersion(void) { return \"3.11.2\"; }\n\
                   void Py_Initialize(void) { _PyRuntime[4] = 1; }\n";
    let program = "#include <stdio.h>\n#include <unistd.h>\nvoid Py_Initialize(void);\n\
                   int main(int n, char **v) { if (n > 1) Py_Initialize(); puts(\"ready\"); fflush(stdout); for (;;) pause(); }\n";
    std::fs::write(dir.join("library.c"), library).expect("a source");
    std::fs::write(dir.join("program.c"), program).expect("a source");
    compile(&["-shared", "-fPIC", "-Wl,-soname,libpython3.11.so.1.0", "-o", "libpython3.11.so.1.0", "library.c"]);
    compile(&["-o", "program", "program.c", "./libpython3.11.so.1.0", "-Wl,-rpath,$ORIGIN"]);
    let look = |arguments: &[&str]| {
        let (process, _) = Started::ready(Command::new(dir.join("program")).args(arguments), "gcc");
        summary(process.pid())["runtimes"][0].clone()
    };
    let (idle, started) = (look(&[]), look(&["start"]));
    assert_eq!((&idle["kind"], &idle["version"]), (&"python".into(), &"3.11.2".into()), "{idle}");
    assert!(idle["not_started"].as_str().is_some_and(|why| why.contains("Py_IsInitialized")), "{idle}");
    assert!(started["not_started"].is_null(), "{started}");
}

/// Without its file the dump's own pages or the executable's name tell, and the evidence says which.
#[test]
fn a_runtime_is_named_without_its_file() {
    let dir = scratch("without-files");
    let program = dir.join("python3.11");
    std::fs::copy("/usr/bin/python3", &program).expect("python3 is there");
    let script = "print('ready', flush=True)\nimport sys\nsys.stdin.read()";
    let (process, _) = Started::ready(Command::new(&program).args(["-c", script]), "python3");
    let dump = dir.join("mini");
    let pid = process.pid().to_string();
    dumpscope!("collect", "-p", &pid, "--type", "mini", "-o", &dump).expect_status(0);
    drop(process);
    std::fs::remove_file(&program).expect("its file");
    let output = dumpscope!("analyze", &dump, "--json", "-c", "summary").expect_status(0);
    let runtime = output.data("summary")["runtimes"][0].clone();
    assert_eq!(runtime["kind"], "python", "{runtime}");
    assert!(runtime["version"].as_str().is_none_or(|version| version.starts_with("3.")), "{runtime}");
    let evidence = runtime["evidence"].as_str().expect("words");
    assert!(evidence.contains("is named python3.11") || evidence.contains("Py_GetVersion"), "{evidence}");
}

/// Python that runs a Java machine within itself.
#[test]
fn each_runtime_of_a_process_is_listed() {
    let java = said("sh", &["-c", "dirname $(dirname $(readlink -f $(command -v java)))"], "default-jre-headless");
    let script = format!(
        "import ctypes, sys
class Args(ctypes.Structure):
    _fields_ = [('version', ctypes.c_int), ('count', ctypes.c_int), ('options', ctypes.c_void_p), ('ignore', ctypes.c_ubyte)]
jvm = ctypes.CDLL('{}/lib/server/libjvm.so')
machine, env = ctypes.c_void_p(), ctypes.c_void_p()
assert jvm.JNI_CreateJavaVM(ctypes.byref(machine), ctypes.byref(env), ctypes.byref(Args(0x10008, 0, None, 1))) == 0
print(sys.version.split()[0], flush=True)
sys.stdin.read()",
        java.trim()
    );
    let (process, python) = Started::ready(Command::new("/usr/bin/python3").args(["-c", &script]), "python3");
    let output = dumpscope!("live", "-p", process.pid().to_string(), "--json", "-c", "runtimes").expect_status(0);
    let runtimes = output.data("runtimes")["runtimes"].clone();
    let kinds: Vec<_> = runtimes.as_array().expect("a list").iter().map(|one| one["kind"].as_str()).collect();
    assert_eq!(kinds, [Some("jvm"), Some("python")], "{runtimes}");
    assert_eq!(runtimes[1]["version"], python.trim(), "{runtimes}");
    let text = dumpscope!("live", "-p", process.pid().to_string(), "-c", "runtimes").expect_status(0).stdout;
    assert!(text.contains("Java monitors") && text.contains("Python locks"), "{text}");
}

#[test]
fn a_native_program_has_no_runtime() {
    let (process, _) = Started::ready(Command::new("sh").args(["-c", "echo ready; read line"]), "dash");
    assert_eq!(summary(process.pid())["runtimes"], serde_json::json!([]));
    let output = dumpscope!("live", "-p", process.pid().to_string(), "-c", "runtimes").expect_status(0);
    assert!(output.stdout.contains("native code only"), "{}", output.stdout);
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn dotnet_is_named() {
    let dotnet = Dotnet::find();
    for (version, _) in &dotnet.runtimes {
        let process = dotnet.start(version, "dotnet-shop", "Shop");
        let summary = summary(process.pid());
        let runtime = &summary["runtimes"][0];
        assert_eq!((&runtime["kind"], &runtime["version"]), (&"dotnet".into(), &version.as_str().into()), "{summary}");
        let titles = summary["findings"].to_string();
        assert!(!titles.contains("unread-runtime") && !titles.contains("nothing looks wrong"), "{titles}");
    }
}
