//! What users get: one static binary below 12 MB that needs nothing but the kernel. Built for musl in release, then run
//! in a chroot that holds only busybox and musl's loader, on a real core.

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Output, dump, repository, run};

const TARGET: &str = "x86_64-unknown-linux-musl";
/// 12 MB, stripped.
const LIMIT: u64 = 12_000_000;

/// Builds it (minutes the first time, since it is optimised as a whole) and returns its path.
fn release_binary() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(repository()).args(["build", "--release", "--locked", "--bin", "dumpscope", "--target", TARGET]);
    let built = run(build);
    assert!(
        built.status.success(),
        "no release build for {TARGET} (rustup target add {TARGET}; apt-get install musl-tools):\n{}",
        built.stderr
    );
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    target.join(TARGET).join("release/dumpscope")
}

fn readelf(option: &str, file: &Path) -> String {
    let mut command = Command::new("readelf");
    command.env("LC_ALL", "C").args(["-W", option]).arg(file);
    run(command).expect_status(0).stdout
}

/// A folder with busybox, musl's loader, and `files` under the names given; nothing else.
fn chroot_with(name: &str, files: &[(&Path, &str)]) -> PathBuf {
    let root = repository().join("target/fixtures").join(name);
    if root.exists() {
        std::fs::remove_dir_all(&root).expect("the old chroot can be removed");
    }
    for folder in ["bin", "lib", "tmp", "proc"] {
        std::fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.exists());
    let busybox = busybox.expect("no busybox: apt-get install busybox-static");
    let loader = ["/lib/ld-musl-x86_64.so.1", "/usr/lib/ld-musl-x86_64.so.1"].map(Path::new);
    let loader = loader.into_iter().find(|path| path.exists()).expect("no musl: apt-get install musl");
    let own = [(busybox, "bin/busybox"), (loader, "lib/ld-musl-x86_64.so.1")];
    for (from, to) in own.iter().chain(files) {
        support::copy_program(from, root.join(to));
    }
    root
}

/// Runs `/bin/busybox sh -c SCRIPT` with `root` as the root and no environment.
fn in_chroot(root: &Path, script: &str) -> Output {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let mut command = Command::new(if is_root { "chroot" } else { "unshare" });
    if !is_root {
        command.args(["-r", "chroot"]);
    }
    command
        .arg(root)
        .args(["/bin/busybox", "sh", "-c", script])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    run(command)
}

#[test]
fn the_release_binary_is_static_small_and_runs_with_nothing_but_the_kernel() {
    let binary = release_binary();

    let headers = readelf("--program-headers", &binary);
    assert!(!headers.contains("INTERP"), "it asks for a loader:\n{headers}");
    let dynamic = readelf("--dynamic", &binary);
    assert!(!dynamic.contains("(NEEDED)"), "it asks for libraries:\n{dynamic}");
    let sections = readelf("--sections", &binary);
    assert!(!sections.contains(".symtab") && !sections.contains(".debug_info"), "it is not stripped:\n{sections}");
    let size = std::fs::metadata(&binary).expect("the binary is there").len();
    assert!(size < LIMIT, "{size} bytes are not below {LIMIT}");
    println!("{size} bytes");

    let deadlock = dump("deadlock", "musl");
    let root = chroot_with(
        "chroot",
        &[(&binary, "bin/dumpscope"), (&deadlock.core(), "tmp/core"), (&deadlock.exe(), "tmp/exe")],
    );

    let version = in_chroot(&root, "/bin/dumpscope --version").expect_status(0);
    assert!(version.stdout.starts_with("dumpscope "), "{}", version.stdout);

    let analyzed =
        in_chroot(&root, "/bin/dumpscope analyze /tmp/core --exe /tmp/exe -c threads -c locks --json").expect_status(0);
    let truth = deadlock.truth();
    let threads = analyzed.data("threads");
    let tids: Vec<_> = threads["threads"].as_array().expect("threads").iter().map(|thread| &thread["tid"]).collect();
    assert_eq!(tids.len(), truth.threads("*").len(), "{threads}");
    let deadlocks = analyzed.data("locks")["deadlocks"].to_string();
    for worker in ["worker-3", "worker-7"] {
        assert!(deadlocks.contains(&truth.tid(worker).to_string()), "{worker} is in no cycle: {deadlocks}");
    }
    let summary =
        in_chroot(&root, "/bin/dumpscope /tmp/core --exe /tmp/exe | /bin/busybox head -n 20").expect_status(0);
    assert!(summary.stdout.to_lowercase().contains("deadlock"), "{}", summary.stdout);

    let demo = in_chroot(&root, "/bin/dumpscope demo").expect_status(0);
    assert!(demo.stdout.to_lowercase().contains("deadlock"), "{}", demo.stdout);
    std::fs::remove_dir_all(root).expect("the chroot can be removed");
}

/// A process of another user in the chroot, and a collector that is root with CAP_SYS_PTRACE alone (and CAP_SYS_CHROOT, to get in).
const FROM_INSIDE: &str = r#"
mount -t proc proc "$ROOT/proc" || exit 90
chroot --userspec=65534:65534 "$ROOT" /tmp/exe >"$ROOT/tmp/truth.json" &
target=$!
for _ in $(seq 200); do grep -q ready "$ROOT/tmp/truth.json" && break; sleep 0.05; done
setpriv --bounding-set=-all,+sys_ptrace,+sys_chroot --inh-caps=-all chroot "$ROOT" /bin/busybox sh -c "
    /bin/dumpscope ps --json >/tmp/ps.json
    /bin/dumpscope collect -p $target --type mini -o /tmp/mini.core >/tmp/said || exit 91
    /bin/dumpscope collect -p $target --type full -o - >/tmp/full.core || exit 92
    /bin/dumpscope live -p $target --json -c locks || exit 93
    for type in mini full; do /bin/dumpscope analyze /tmp/\$type.core --json -c locks -c threads || exit 94; done
"
status=$?
kill -KILL $target
umount "$ROOT/proc"
exit $status
"#;

#[test]
fn from_inside_a_bare_container_it_dumps_another_users_process_with_one_capability() {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    assert!(is_root, "mounting and changing users takes root: sudo -E cargo test --test static_binary");
    let binary = release_binary();
    let target = support::build("deadlock", "musl").join("exe");
    let root = chroot_with("chroot-live", &[(&binary, "bin/dumpscope"), (&target, "tmp/exe")]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", FROM_INSIDE]).env("ROOT", &root);
    let output = run(command).expect_status(0);

    let read = |name: &str| std::fs::read_to_string(root.join("tmp").join(name)).expect("the chroot's files");
    let truth = support::Truth::parse(&read("truth.json"));
    let documents = output.documents();
    let locks: Vec<_> = documents.iter().filter(|document| document["command"] == "locks").collect();
    assert_eq!(locks.len(), 3, "live, mini, full: {}", output.stdout);
    for document in locks {
        let deadlocks = document["data"]["deadlocks"].to_string();
        for worker in ["worker-3", "worker-7"] {
            assert!(deadlocks.contains(&truth.tid(worker).to_string()), "{worker} is in no cycle: {document}");
        }
    }
    for document in documents.iter().filter(|document| document["command"] == "threads") {
        let threads = document["data"]["threads"].as_array().expect("threads");
        assert_eq!(threads.len(), truth.threads("*").len(), "{document}");
    }
    let ps: serde_json::Value = serde_json::from_str(&read("ps.json")).expect("one object");
    let listed = ps["data"]["processes"].as_array().expect("processes");
    let row = listed.iter().find(|row| row["pid"] == truth.pid()).unwrap_or_else(|| panic!("not listed: {ps}"));
    assert_eq!((&row["dumpable"], &row["uid"]), (&serde_json::json!(true), &serde_json::json!(65534)), "{row}");
    std::fs::remove_dir_all(root).expect("the chroot can be removed");
}
