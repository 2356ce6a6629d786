//! Dumps that travel: opened where none of the files are that the process had mapped, in a root that holds nothing but dumpscope.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Output, Running, Stack, run};
use tempfile::TempDir;

const KINDS: [&str; 4] = ["full", "heap", "mini", "triage"];

fn folder() -> TempDir {
    // On the file system of the build, so that the program can be linked and need not be copied.
    tempfile::tempdir_in(support::fixtures_dir()).expect("a temporary folder")
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn place(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().expect("a folder")).expect("folders");
    // A link to a symbolic link is one itself.
    let from = &from.canonicalize().unwrap_or_else(|why| panic!("{}: {why}", from.display()));
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to).unwrap_or_else(|why| panic!("{}: {why}", from.display()));
    }
}

/// A root with dumpscope and the libraries that it needs itself, at paths that no dump has.
struct Nowhere {
    root: TempDir,
    loader: String,
}

impl Nowhere {
    fn new() -> Nowhere {
        let root = folder();
        let binary = Path::new(env!("CARGO_BIN_EXE_dumpscope"));
        place(binary, &root.path().join("elsewhere/dumpscope"));
        let mut ldd = Command::new("ldd");
        ldd.arg(binary);
        let listed = run(ldd).expect_status(0).stdout;
        let libraries = listed.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new);
        let mut loader = String::new();
        for library in libraries {
            let name = library.file_name().and_then(|name| name.to_str()).expect("a name");
            std::fs::copy(library, root.path().join("elsewhere").join(name)).expect("a library");
            if name.starts_with("ld-") {
                name.clone_into(&mut loader);
            }
        }
        Nowhere { root, loader }
    }

    /// What it shows there of a dump.
    fn analyze(&self, core: &Path, commands: &[&str]) -> Output {
        let inside = self.root.path().join("core");
        let _ = std::fs::remove_file(&inside);
        place(core, &inside);
        let mut command = Command::new(if is_root() { "chroot" } else { "unshare" });
        if !is_root() {
            command.args(["-r", "chroot"]);
        }
        command.arg(self.root.path()).arg(format!("/elsewhere/{}", self.loader));
        command.args([
            "--library-path",
            "/elsewhere",
            "/elsewhere/dumpscope",
            "analyze",
            "/core",
            "--json",
            "--offline",
        ]);
        for line in commands {
            command.args(["-c", line]);
        }
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        run(command).expect_status(0)
    }
}

fn collect(pid: u32, kind: &str, to: &Path) -> PathBuf {
    let core = to.join(format!("{kind}.core"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.args(["collect", "-p", &pid.to_string(), "--type", kind, "-o"]).arg(&core);
    run(command).expect_status(0);
    core
}

fn analyze(core: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(core).args(["--json", "--offline"]).args(options);
    run(command).expect_status(0)
}

/// The places of each thread's frames and why its stack ends, without inlined calls, which only files tell of.
fn places(output: &Output) -> BTreeMap<u64, (Vec<String>, String)> {
    let stacks = Stack::all(&output.data("stack"));
    let of = |stack: Stack| {
        let physical = stack.frames.iter().filter(|frame| frame["kind"] != "inline");
        let places = physical.map(|frame| frame["pc"].as_str().expect("an address").to_owned()).collect();
        (stack.tid, (places, stack.end))
    };
    stacks.into_iter().map(of).collect()
}

/// The module of that name.
fn module(output: &Output, name: &str) -> Value {
    let modules = output.data("modules")["modules"].clone();
    let is_named = |module: &&Value| module["path"].as_str().is_some_and(|path| path.rsplit('/').next() == Some(name));
    modules.as_array().expect("modules").iter().find(is_named).unwrap_or_else(|| panic!("no {name}: {modules}")).clone()
}

#[track_caller]
fn assert_functions(output: &Output, process: &Running, name: &str, expected: &Value, what: &str) {
    let stacks = Stack::all(&output.data("stack"));
    let tid = process.truth().tid(name);
    let stack = stacks.iter().find(|stack| stack.tid == tid).unwrap_or_else(|| panic!("{what}: no {name}"));
    assert!(stack.has_run(expected), "{what}: {name} is in {:?}, not {expected}", stack.functions());
}

#[test]
fn what_a_program_exports_is_named_from_every_dump_without_its_files() {
    let nowhere = Nowhere::new();
    for variant in ["glibc", "glibc-stripped", "musl", "musl-stripped"] {
        let process = Running::start("travel", variant, &[]);
        process.stop();
        let to = folder();
        let expected = support::Expected::of("travel");
        for kind in KINDS {
            let what = format!("{variant} {kind}");
            let output =
                nowhere.analyze(&collect(process.pid(), kind, to.path()), &["stack --all", "modules", "locks"]);
            for (name, wanted) in expected.threads() {
                assert_functions(&output, &process, name, &wanted["functions"], &what);
            }
            let program = module(&output, "exe");
            assert_eq!(program["symbols"]["kind"], "dynsym", "{what}: {program}");
            assert_eq!(program["symbols"]["source"], "the dump", "{what}: {program}");
            assert_eq!(program["symbols"]["file"], Value::Null, "{what}: {program}");
            // A name without a folder, and no build id by which a file of that name could be told: there is nowhere to look.
            let is_told = kind != "triage" || program["build_id"] != Value::Null;
            let tried = program["symbols"]["tried"].as_array().expect("a list");
            assert_eq!(!tried.is_empty(), is_told, "{what}: {program}");
            let locks = output.data("locks");
            let names: Vec<&Value> =
                locks["locks"].as_array().expect("locks").iter().map(|lock| &lock["name"]).collect();
            assert!(names.contains(&&Value::from("g_till")), "{what}: {names:?}");
        }
    }
}

#[test]
fn every_dump_has_the_frames_of_the_full_one_without_any_file() {
    let nowhere = Nowhere::new();
    for (name, variant, arguments) in [
        ("travel", "glibc-stripped", &[][..]),
        ("travel", "musl", &[]),
        ("travel", "musl-bare", &[]),
        ("travel", "musl-static", &[]),
        ("deadlock", "musl", &[]),
        ("altstack", "block-musl", &["block"]),
        ("rust-std", "musl", &[]),
    ] {
        let process = Running::start(name, variant, arguments);
        process.stop();
        let to = folder();
        let full = collect(process.pid(), "full", to.path());
        let expected = places(&analyze(&full, &["-c", "stack --all"]));
        assert!(expected.values().all(|(places, _)| places.len() > 1), "{name} {variant}: {expected:?}");
        for kind in KINDS {
            let core = if kind == "full" { full.clone() } else { collect(process.pid(), kind, to.path()) };
            let found = places(&nowhere.analyze(&core, &["stack --all"]));
            assert_eq!(found, expected, "{name} {variant}: {kind} without files, and full with them");
        }
    }
}

#[test]
fn owners_are_told_where_neither_a_name_nor_an_unwind_table_tells_of_the_program() {
    let nowhere = Nowhere::new();
    let process = Running::start("travel", "musl-bare", &[]);
    process.stop();
    let to = folder();
    for kind in KINDS {
        let core = collect(process.pid(), kind, to.path());
        for (what, output) in
            [("anywhere", nowhere.analyze(&core, &["locks"])), ("here", analyze(&core, &["-c", "locks"]))]
        {
            let locks = output.data("locks");
            for (name, wanted) in support::Expected::of("travel").locks() {
                let address = process.truth().lock(name);
                let is_it = |lock: &&Value| support::as_address(&lock["address"]) == Some(address);
                let lock = locks["locks"].as_array().expect("locks").iter().find(is_it);
                let owner = process.truth().tid(wanted["owner"].as_str().expect("an owner"));
                assert_eq!(
                    lock.map(|lock| &lock["owner"]["tid"]),
                    Some(&owner.into()),
                    "{what} {kind}: {name}: {locks}"
                );
            }
        }
    }
}

#[test]
fn every_dump_has_the_frames_of_go_without_any_file() {
    let nowhere = Nowhere::new();
    let process = Running::start("travel", "go", &[]);
    process.stop();
    let to = folder();
    let full = collect(process.pid(), "full", to.path());
    let named = analyze(&full, &["-c", "stack --all"]);
    let wanted = support::Expected::of("travel").json()["variants"]["go"]["till"].clone();
    assert_functions(&named, &process, "till", &wanted, "with its file");
    let tid = process.truth().tid("till");
    let with_file = places(&named)[&tid].0.clone();
    let without = places(&nowhere.analyze(&full, &["stack --all"]));
    assert_eq!(without[&tid].0, with_file, "a full dump holds Go's tables");
    // Only these tell that the outermost function, which was never called, is one; the other types do not hold them.
    for kind in ["heap", "mini", "triage"] {
        let found = places(&nowhere.analyze(&collect(process.pid(), kind, to.path()), &["stack --all"]));
        assert_eq!(found[&tid].0, with_file[..with_file.len() - 1], "{kind}");
        for (tid, whole) in &without {
            // Nor do they tell where a function changes stacks, so that what called it is no caller.
            let (shown, whole) = (&found[tid].0, &whole.0);
            let agree = shown.iter().zip(whole).all(|(one, other)| one == other);
            assert!(agree && shown.len() + 1 >= whole.len(), "{kind}: {tid}: {shown:?}, {whole:?}");
        }
    }
}

/// A root for a process: the program and musl's loader, each at a path of its own.
fn jail(variant: &str) -> TempDir {
    let root = folder();
    place(&support::build("travel", variant).join("exe"), &root.path().join("srv/shop"));
    place(Path::new("/lib/ld-musl-x86_64.so.1"), &root.path().join("lib/ld-musl-x86_64.so.1"));
    std::fs::create_dir(root.path().join("proc")).expect("a folder");
    root
}

/// A root into which `/proc` is mounted, which the fixture asks whether its threads have come to rest.
struct Jail(TempDir);

impl Drop for Jail {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path().join("proc")).status();
    }
}

/// A process in a root of its own.
struct Jailed {
    child: std::process::Child,
    root: Jail,
}

impl Jailed {
    fn start(variant: &str) -> Jailed {
        assert!(is_root(), "changing roots and following map_files takes root: sudo -E cargo test --test travel");
        let root = Jail(jail(variant));
        let mounted = Command::new("mount").args(["--bind", "/proc"]).arg(root.0.path().join("proc")).status();
        assert!(mounted.is_ok_and(|status| status.success()), "mount --bind /proc");
        let mut command = Command::new("chroot");
        command.arg(root.0.path()).arg("/srv/shop").stdout(std::process::Stdio::piped());
        let mut child = command.spawn().expect("chroot runs");
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(child.stdout.take().expect("its output"));
        std::io::BufRead::read_line(&mut stdout, &mut line).expect("a line");
        assert!(line.contains("\"ready\":true"), "{line}");
        Jailed { child, root }
    }
}

impl Drop for Jailed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_paths_of_a_process_in_another_root_are_its_own_and_its_root_finds_them() {
    let jailed = Jailed::start("musl");
    let to = folder();
    let root = jailed.root.0.path().to_str().expect("UTF-8").to_owned();
    let taking = Value::from(vec!["take_both", "pay_in", "serve_till"]);
    let shows = |output: &Output, what: &str| {
        let stacks = Stack::all(&output.data("stack"));
        assert!(stacks.iter().any(|stack| stack.has_run(&taking)), "{what}: {:?}", output.data("modules"));
    };
    for kind in KINDS {
        let core = collect(jailed.child.id(), kind, to.path());
        let output = analyze(&core, &["--sysroot", &root, "-c", "stack --all", "-c", "modules"]);
        let program = module(&output, "shop");
        let recorded = if kind == "triage" { "shop" } else { "/srv/shop" };
        assert_eq!(program["path"], recorded, "{kind}");
        let inside = format!("{root}/srv/shop");
        assert_eq!(program["symbols"]["file"], Value::from(inside.as_str()), "{kind}: {program}");
        assert_eq!(program["symbols"]["kind"], "dwarf", "{kind}: {program}");
        shows(&output, kind);
        // gdb reads the paths, too.
        if kind == "full" {
            let mut gdb = Command::new("gdb");
            gdb.args(["-nx", "-batch", "-iex"]).arg(format!("set sysroot {root}"));
            gdb.arg(&inside).arg(&core).args(["-ex", "info proc mappings", "-ex", "thread apply all bt"]);
            let said = run(gdb).stdout;
            assert!(said.contains(" /srv/shop") && said.contains(&format!("{root}/lib/ld-musl")), "{said}");
        }
    }
    let mut live = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    live.args(["live", "-p", &jailed.child.id().to_string(), "--json", "-c", "stack --all", "-c", "modules"]);
    let output = run(live).expect_status(0);
    assert_eq!(module(&output, "shop")["symbols"]["kind"], "dwarf");
    shows(&output, "live");
}

#[test]
fn a_triage_dump_finds_its_libraries_by_name_and_build_id() {
    let process = Running::start("travel", "glibc", &[]);
    let to = folder();
    let core = collect(process.pid(), "triage", to.path());
    for options in [&["--sysroot", "/", "-c", "modules"][..], &["-c", "modules"]] {
        let libc = module(&analyze(&core, options), "libc.so.6");
        let file = libc["symbols"]["file"].as_str().unwrap_or_else(|| panic!("{options:?}: {libc}"));
        assert!(file.ends_with("/libc.so.6"), "{options:?}: {file}");
    }
    // The program is in none of the usual folders: where it was looked for is said.
    let program = module(&analyze(&core, &["-c", "modules"]), "exe");
    assert!(program["symbols"]["tried"].to_string().contains("/usr/bin/exe"), "{program}");
}

#[test]
fn the_file_of_a_deleted_program_is_in_the_dump_and_names_the_living_process() {
    for variant in ["glibc", "musl"] {
        let to = folder();
        let copy = to.path().join("shop");
        std::fs::copy(support::build("travel", variant).join("exe"), &copy).expect("a copy");
        let process = Running::start_at(&copy);
        std::fs::remove_file(&copy).expect("it can be deleted");
        let expected = support::Expected::of("travel");
        let mut live = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        live.args(["live", "-p", &process.pid().to_string(), "--json", "-c", "stack --all", "-c", "modules"]);
        let mut outputs = vec![("live", run(live).expect_status(0))];
        let cores = KINDS.map(|kind| (kind, collect(process.pid(), kind, to.path())));
        outputs
            .extend(cores.iter().map(|(kind, core)| (*kind, analyze(core, &["-c", "stack --all", "-c", "modules"]))));
        for (what, output) in outputs {
            let what = format!("{variant} {what}");
            for (name, wanted) in expected.threads() {
                assert_functions(&output, &process, name, &wanted["functions"], &what);
            }
            let modules = output.data("modules")["modules"].clone();
            let is_program =
                |module: &&Value| module["path"].as_str().is_some_and(|path| path.ends_with("shop (deleted)"));
            let program = modules.as_array().expect("modules").iter().find(is_program).expect("the program");
            // A triage dump keeps the names alone: debug information has the paths of sources.
            let kind = if what.ends_with("triage") { "symtab" } else { "dwarf" };
            assert_eq!(program["symbols"]["kind"], kind, "{what}");
            // The link leads to the program's file as long as it runs; without a build id nothing tells that it does.
            let by_link = Value::from(format!("/proc/{}/exe", process.pid()));
            let (source, file) = match what.as_str() {
                "glibc live" => (Value::Null, by_link),
                _ => (Value::from("the dump"), Value::Null),
            };
            assert_eq!((&program["symbols"]["source"], &program["symbols"]["file"]), (&source, &file), "{what}");
        }
    }
}
