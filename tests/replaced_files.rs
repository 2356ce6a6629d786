//! Modules without build id: their files are held against what the dump holds of them. Another version at the recorded
//! path is refused by name, the mapped one is verified, and nothing certain rests on a file of which nothing can be
//! told.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dumpscope::capture::{self, FORMATS, Opened, held::Held};
use dumpscope::job::Job;
use dumpscope::target::{Search, Target};
use serde_json::Value;
use support::{Dump, Output, Running, Stack, build, dump, dumpscope, run};
use symbols::{Comparison, Contents};

/// A dump of the fixture with what is said of it.
struct Told {
    dump: Dump,
    output: Output,
}

impl Told {
    fn of(variant: &str) -> Told {
        let dump = dump("replaced", variant);
        let output = questions(&dump.core(), &[]);
        Told { dump, output }
    }

    fn deadlock(&self) -> Value {
        let mut deadlocks = self.output.data("locks")["deadlocks"].as_array().expect("deadlocks").clone();
        assert_eq!(deadlocks.len(), 1, "the worker's alone");
        let deadlock = deadlocks.remove(0);
        let truth = self.dump.truth();
        assert_eq!(deadlock["cycle"][0]["tid"], truth.tid("worker"));
        deadlock
    }

    fn lock(&self) -> Value {
        let locks = self.output.data("locks")["locks"].as_array().expect("locks").clone();
        let at = format!("{:#x}", self.dump.truth().lock("plug_lock"));
        locks.into_iter().find(|lock| lock["address"] == at.as_str()).expect("plug_lock")
    }

    /// The function of the worker's frame in the library, which the dump may not name.
    fn function(&self) -> Option<String> {
        let stack = self.worker();
        let frame = stack.frames.iter().find(|frame| {
            let module = frame["module"].as_str().unwrap_or_default();
            module.starts_with("libplugin.so") || (module == "exe" && frame["function"] == "plugin_wait")
        });
        frame.expect("a frame in the library")["function"].as_str().map(str::to_owned)
    }

    fn worker(&self) -> Stack {
        let tid = self.dump.truth().tid("worker");
        let stacks = Stack::all(&self.output.data("stack"));
        stacks.into_iter().find(|stack| stack.tid == tid).expect("the worker")
    }
}

fn questions(core: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(core).args(["--offline", "--json"]).args(options);
    command.args(["-c", "summary", "-c", "locks", "-c", "modules", "-c", "stack --all"]);
    run(command).expect_status(0)
}

/// What is said of the files of the module whose path has that end, without the mark of a deleted file.
fn verification(output: &Output, name: &str) -> Value {
    let modules = output.data("modules")["modules"].as_array().expect("modules").clone();
    let named = |module: &Value| {
        module["path"].as_str().is_some_and(|path| path.trim_end_matches(" (deleted)").ends_with(name))
    };
    modules.iter().find(|module| named(module)).expect("the module")["symbols"]["verification"].clone()
}

fn text(core: &Path) -> String {
    dumpscope!("analyze", core, "--offline", "-c", "summary").expect_status(0).stdout
}

#[test]
fn the_unchanged_file_is_verified_by_its_contents_and_what_rests_on_it_is_certain() {
    let told = Told::of("unchanged");
    for name in ["/libplugin.so", "/exe"] {
        let verification = verification(&told.output, name);
        assert_eq!((&verification["state"], &verification["by"]), (&"verified".into(), &"contents".into()), "{name}");
    }
    assert_eq!(told.deadlock()["certain"], true);
    assert_eq!(told.lock()["name"], "plug_lock");
    assert_eq!(told.function().as_deref(), Some("plugin_wait"));
    let dumped = told.output.data("summary")["dump"].clone();
    assert_eq!(dumped["modules_verified"], dumped["modules"]);
    let text = text(&told.dump.core());
    assert!(text.contains(&format!("the files of all {} modules are at hand", dumped["modules"])), "{text}");
}

#[test]
fn another_version_at_the_path_is_refused_and_gives_no_name() {
    for variant in ["moved-over", "other-version", "swapped"] {
        let told = Told::of(variant);
        let verification = verification(&told.output, "/libplugin.so");
        assert_eq!(verification["state"], "refused", "{variant}: {verification}");
        let why = verification["detail"].as_str().expect("a reason");
        assert!(why.contains("another build") && why.contains("in memory"), "{variant}: {why}");
        // The dump's own symbols may name them; the other version's never do.
        assert!(["plug_lock"].map(Value::from).contains(&told.lock()["name"]) || told.lock()["name"].is_null());
        assert!(told.function().is_none_or(|function| function == "plugin_wait"), "{variant}: {:?}", told.function());
        // Who holds it is in the lock, and where its waiter stands in the C library is known by that one's build id.
        assert_eq!(told.deadlock()["certain"], true, "{variant}");
        assert_eq!(told.lock()["owner"]["tid"], told.dump.truth().tid("worker"), "{variant}");
        let dumped = told.output.data("summary")["dump"].clone();
        assert_eq!(
            (&dumped["modules_without_file"], &dumped["modules_unverified"]),
            (&1.into(), &0.into()),
            "{variant}"
        );
        let text = text(&told.dump.core());
        assert!(text.contains("files of 4 modules: 3 verified, 1 missing"), "{variant}: {text}");
        assert!(text.contains("is refused"), "{variant}: {text}");
    }
}

#[test]
fn the_file_before_it_was_stripped_is_the_same_file() {
    let told = Told::of("unstripped");
    let verification = verification(&told.output, "/libplugin.so");
    assert_eq!((&verification["state"], &verification["by"]), (&"verified".into(), &"contents".into()));
    let frame = told.worker().frames.into_iter().find(|frame| frame["function"] == "plugin_wait").expect("plugin_wait");
    assert!(frame["file"].as_str().is_some_and(|file| file.ends_with("plugin.c")), "its lines are known: {frame}");
}

#[test]
fn nothing_certain_rests_on_a_file_of_which_the_dump_holds_nothing() {
    let told = Told::of("unheld");
    let verification = verification(&told.output, "/exe");
    assert_eq!(verification["state"], "unverified");
    assert!(verification["detail"].as_str().is_some_and(|why| why.contains("holds nothing")), "{verification}");
    assert_eq!(told.deadlock()["certain"], false);
    assert_eq!(told.lock()["evidence"], "inferred:unverified-file");
    assert_eq!(told.lock()["owner"]["tid"], told.dump.truth().tid("worker"), "it is used all the same");
    let summary = told.output.data("summary");
    assert_eq!(summary["dump"]["modules_unverified"], 1);
    let findings = summary["findings"].as_array().expect("findings");
    let found = findings.iter().find(|finding| finding["rule"] == "self-deadlock").expect("the deadlock");
    assert_eq!(found["certain"], false);
    assert!(found["evidence"].to_string().contains("exe may be another build's file"), "{}", found["evidence"]);
    let text = text(&told.dump.core());
    assert!(text.contains("likely: self-deadlock"), "{text}");
    assert!(text.contains("files of 1 module: 1 not verified"), "{text}");
}

#[test]
fn a_file_that_the_user_names_is_known_by_its_contents_whatever_its_name() {
    let dump = dump("replaced", "moved-over");
    let right = dump.dir().join("first.so");
    let output = questions(&dump.core(), &["--exe", right.to_str().expect("UTF-8")]);
    let told = verification(&output, "/libplugin.so");
    assert_eq!((&told["state"], &told["by"]), (&"verified".into(), &"contents".into()));
    assert!(!output.stdout.contains("file-unused"), "{}", output.stdout);

    // Another version under the recorded name is refused, and the mapped one is still found at its path.
    let dump = support::dump("replaced", "unchanged");
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = folder.path().join("libplugin.so");
    std::fs::copy(dump.dir().join("newer.so"), &wrong).expect("a copy");
    let output = questions(&dump.core(), &["--exe", wrong.to_str().expect("UTF-8")]);
    assert_eq!(verification(&output, "/libplugin.so")["state"], "verified");
    let modules = output.data("modules").to_string();
    assert!(modules.contains(&format!("{}: another build", wrong.display())), "{modules}");
}

#[test]
fn every_type_of_dump_holds_enough_to_tell_versions_apart() {
    let (built, folder) = (build("replaced", "unchanged"), tempfile::tempdir().expect("a folder"));
    let running = Running::start("replaced", "unchanged", &[]);
    for kind in ["full", "heap", "mini", "triage"] {
        let core = folder.path().join(kind);
        let pid = running.pid().to_string();
        dumpscope!("collect", "-p", &pid, "--type", kind, "-o", &core).expect_status(0);
        // A triage dump keeps names of files only: each is named here.
        let of = |library: PathBuf| {
            let output = questions(&core, &["--exe", library.to_str().expect("UTF-8")]);
            verification(&output, "libplugin.so")
        };
        let mapped = of(built.join("first.so"));
        assert_eq!((&mapped["state"], &mapped["by"]), (&"verified".into(), &"contents".into()), "{kind}: {mapped}");
        let other = folder.path().join("libplugin.so");
        for version in ["newer.so", "swapped.so"] {
            std::fs::copy(built.join(version), &other).expect("a copy");
            let modules = questions(&core, &["--exe", other.to_str().expect("UTF-8")]).data("modules").to_string();
            assert!(modules.contains(&format!("{}: another build", other.display())), "{kind} {version}: {modules}");
        }
    }
}

#[test]
fn a_program_that_maps_itself_again_is_one_module_whose_copies_have_its_names() {
    for variant in ["glibc", "glibc-gcore", "no-build-id"] {
        let dump = dump("selfmap", variant);
        let output = questions(&dump.core(), &[]);
        let modules = output.data("modules")["modules"].as_array().expect("modules").clone();
        let own = modules.iter().filter(|module| module["path"].as_str().is_some_and(|path| path.ends_with("/exe")));
        assert_eq!(own.count(), 1, "{variant}: {modules:?}");
        let address = |module: &Value, key: &str| support::as_address(&module[key]).expect("an address");
        for pair in modules.windows(2) {
            assert!(address(&pair[0], "end") <= address(&pair[1], "base"), "{variant}: {pair:?}");
        }
        let tid = dump.truth().tid("copied");
        let stack = Stack::all(&output.data("stack")).into_iter().find(|stack| stack.tid == tid).expect("the thread");
        assert!(
            stack.has_run(&dump.expected().json()["threads"]["copied"]["functions"]),
            "{variant}: {:?}",
            stack.functions()
        );
        let copy = dump.truth().value("copy");
        let inner = stack.frames.iter().take(3);
        for frame in inner {
            let pc = support::as_address(&frame["pc"]).expect("an address");
            assert!((copy..copy + 4096).contains(&pc), "{variant}: {frame}");
            assert!(frame["offset"].as_u64().is_some_and(|offset| offset < 4096), "{variant}: {frame}");
            assert!(frame["line"].is_number(), "{variant}: {frame}");
        }
    }
}

#[test]
fn contents_agree_wherever_the_build_id_does() {
    for variant in ["glibc", "glibc-gcore", "glibc-filter-7f", "glibc-static", "musl", "musl-gcore"] {
        let capture = capture::open(&dump("deadlock", variant).core(), FORMATS, &Job::default());
        let capture = capture.and_then(Opened::process).expect("the core opens");
        let target = Target::open(Arc::new(capture), &Search::default(), &Job::default()).expect("nobody cancels");
        let files = target.modules.iter().filter_map(|module| Some((module, module.elf()?)));
        let files: Vec<_> = files.filter(|(module, _)| !module.rebuilt).collect();
        assert!(!files.is_empty(), "{variant}");
        for (module, elf) in files {
            let held = Held { mapped: &module.mapped, memory: &target.capture.memory, recorded: None };
            let told = held.compare(elf);
            assert!(matches!(told, Comparison::Same(_)), "{variant}: {:?}: {told:?}", module.mapped.path);
        }
    }
}
