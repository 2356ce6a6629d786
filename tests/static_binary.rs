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
fn chroot_with(files: &[(&Path, &str)]) -> PathBuf {
    let root = repository().join("target/fixtures/chroot");
    if root.exists() {
        std::fs::remove_dir_all(&root).expect("the old chroot can be removed");
    }
    for folder in ["bin", "lib", "tmp"] {
        std::fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.exists());
    let busybox = busybox.expect("no busybox: apt-get install busybox-static");
    let loader = ["/lib/ld-musl-x86_64.so.1", "/usr/lib/ld-musl-x86_64.so.1"].map(Path::new);
    let loader = loader.into_iter().find(|path| path.exists()).expect("no musl: apt-get install musl");
    let own = [(busybox, "bin/busybox"), (loader, "lib/ld-musl-x86_64.so.1")];
    for (from, to) in own.iter().chain(files) {
        std::fs::copy(from, root.join(to)).unwrap_or_else(|why| panic!("{}: {why}", from.display()));
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
    let root = chroot_with(&[(&binary, "bin/dumpscope"), (&deadlock.core(), "tmp/core"), (&deadlock.exe(), "tmp/exe")]);

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
