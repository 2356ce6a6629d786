//! Source lines of managed frames: those that the runtime itself prints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Dotnet, Started, run};

/// A frame as the runtime prints it: the method with its parameters, and the file and the line.
type Line = (String, Option<(String, u64)>);

/// `fixtures/dotnet-lines`, which tells its own truth.
struct Lines {
    process: Started,
    /// By the thread's name: an exception's frames, outermost exception first, or a stack's.
    truth: BTreeMap<String, (String, Vec<Vec<Line>>)>,
    folder: tempfile::TempDir,
}

impl Lines {
    fn start(dotnet: &Dotnet, version: &str, program: &Path, variables: &[(&str, &str)]) -> Lines {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("truth");
        let mut command = dotnet.command(version, program);
        let (process, printed) = Started::ready(command.arg(&file).envs(variables.iter().copied()), "dotnet");
        assert_eq!(printed, version);
        let text = std::fs::read_to_string(file).expect("what it told");
        let truth = format!("\n{text}").split("\n= ").skip(1).map(told).collect();
        Lines { process, truth, folder }
    }

    fn dump(&self, createdump: &Path, flag: &str) -> PathBuf {
        let dump = self.folder.path().join("dump");
        let mut command = Command::new(createdump);
        command.args([flag, "-f"]).arg(&dump).arg(self.process.pid().to_string());
        run(command).expect_status(0);
        dump
    }
}

/// `NAME KIND`, then the stack.
fn told(text: &str) -> (String, (String, Vec<Vec<Line>>)) {
    let (head, stack) = text.split_once('\n').expect("a stack");
    let (name, kind) = head.split_once(' ').expect("a kind");
    let mut all = vec![Vec::new()];
    for line in stack.lines() {
        let line = line.trim();
        if line.starts_with("--- End of inner exception") {
            all.insert(0, Vec::new());
        } else if let Some(frame) = line.strip_prefix("at ") {
            let (call, place) = frame.split_once(" in ").map_or((frame, None), |(call, place)| (call, Some(place)));
            let place = place.and_then(|place| place.rsplit_once(":line "));
            let place = place.map(|(file, line)| (file.to_owned(), line.parse().expect("a line")));
            all[0].push((call.to_owned(), place));
        }
    }
    (name.to_owned(), (kind.to_owned(), all))
}

fn answers(dump: &Path, options: &[&str], commands: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline"]).args(options);
    command.args(commands.iter().flat_map(|line| ["-c", line]));
    let mut documents = run(command).expect_status(0).documents();
    documents.iter_mut().map(|document| document["data"].take()).collect()
}

/// A method, a file, a line.
type Place = (String, String, u64);

/// The lines of managed frames, without the frame in which a thread waits.
fn lines<'t>(frames: impl Iterator<Item = &'t Value>) -> Vec<Place> {
    let waits =
        |frame: &&Value| frame["kind"] == "managed" && frame["function"].as_str() != Some("Shop.Program.Wait()");
    let line = |frame: &Value| {
        let method = method(frame["function"].as_str().unwrap_or_default());
        Some((method, frame["file"].as_str()?.to_owned(), frame["line"].as_u64()?))
    };
    frames.filter(waits).filter_map(line).collect()
}

fn expected(told: &[Line]) -> Vec<Place> {
    let place = |(call, place): &Line| place.clone().map(|(file, line)| (method(call), file, line));
    told.iter().filter_map(place).collect()
}

/// A method with its type and the number of its parameters, as both write it: without type arguments and the names of parameters; an asynchronous
/// method or iterator by its own name, `Shop.Program.Later/1` of `Shop.Program+<Later>d__7.MoveNext()`, whose parameters are not told.
fn method(call: &str) -> String {
    let mut names = vec![String::new()];
    let mut letters = call.chars().peekable();
    let mut parameters = 0;
    while let Some(letter) = letters.next() {
        let own = names.last_mut().expect("one");
        match letter {
            '.' | '+' if !own.is_empty() => names.push(String::new()),
            '`' => while letters.next_if(char::is_ascii_digit).is_some() {},
            // What the compiler named begins so; behind a name stand type arguments.
            '<' | '[' => {
                let is_kept = own.is_empty();
                let text = bracketed(letter, &mut letters);
                if is_kept {
                    own.push_str(&text);
                }
            }
            '(' => {
                let text = bracketed(letter, &mut letters);
                let mut depth = 0;
                for letter in text[1..text.len() - 1].chars() {
                    depth += i32::from("<[(".contains(letter)) - i32::from(">])".contains(letter));
                    parameters = parameters.max(1) + usize::from(letter == ',' && depth == 0);
                }
                break;
            }
            letter => own.push(letter),
        }
    }
    if let [.., machine, last] = names.as_slice()
        && last == "MoveNext"
        && machine.starts_with('<')
    {
        let of = bracketed('<', &mut machine[1..].chars().peekable());
        let count = names.len() - 2;
        names.truncate(count);
        names.push(of[1..of.len() - 1].to_owned());
        return names.join(".");
    }
    format!("{}/{parameters}", names.join("."))
}

/// Up to the closing bracket, both among it.
fn bracketed(open: char, letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = open.to_string();
    let mut depth = 1;
    while depth > 0 {
        let letter = letters.next().expect("it closes");
        depth += i32::from("<[(".contains(letter)) - i32::from(">])".contains(letter));
        text.push(letter);
    }
    text
}

/// Whether both are the same; of asynchronous methods we tell the parameters of the machine, none.
fn same(ours: &[Place], theirs: &[Place]) -> bool {
    let is_one = |(own, their): (&Place, &Place)| {
        let name = if own.0.contains('/') { their.0.as_str() } else { their.0.split('/').next().unwrap_or_default() };
        (own.0.as_str(), &own.1, own.2) == (name, &their.1, their.2)
    };
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(is_one)
}

#[test]
fn both_spellings_of_a_method_are_the_same() {
    for (ours, theirs) in [
        ("Shop.Shelf<System.Int32>.Take(Int32)", "Shop.Shelf`1.Take(Int32 index)"),
        ("Shop.Program+<>c.<Main>b__9_0()", "Shop.Program.<>c.<Main>b__9_0()"),
        (
            "Shop.Program.Hold<System.Int64>(System.Func<Int32, Int64>, Int32[,])",
            "Shop.Program.Hold[T](Func`2 of, Int32[,] grid)",
        ),
    ] {
        assert_eq!(method(ours), method(theirs));
    }
    assert_eq!(method("Shop.Program+<Later>d__7.MoveNext()"), "Shop.Program.Later");
    assert_eq!(method("Shop.Program.Hold(Int32, System.Func<Int32, Int64>)"), "Shop.Program.Hold/2");
    assert_ne!(method("Shop.Program.Hold(Int32)"), method("Shop.Program.Hold()"));
}

/// Compares every thread; how many lines there were.
fn compare(lines_of: &Lines, told: &[Value]) -> usize {
    let [threads, stacks, exceptions] = told else { panic!("three answers") };
    let mut compared = 0;
    for thread in threads["threads"].as_array().expect("threads") {
        let Some((kind, all)) = thread["name"].as_str().and_then(|name| lines_of.truth.get(name)) else { continue };
        let of_thread = |list: &'_ Value| {
            let mut of = list.as_array().expect("a list").iter();
            of.find(|one| one["tid"] == thread["tid"]).cloned().unwrap_or_else(|| panic!("none of {thread}"))
        };
        if kind == "stack" {
            let stack = of_thread(&stacks["threads"]);
            let frames = stack["frames"].as_array().expect("frames").iter();
            let (ours, theirs) = (lines(frames), expected(&all[0]));
            assert!(same(&ours, &theirs), "{thread}: {ours:#?}, not {theirs:#?}");
            compared += all[0].len();
            continue;
        }
        let mut exception = of_thread(&exceptions["exceptions"]);
        for told in all {
            let frames = exception["frames"].as_array().unwrap_or_else(|| panic!("{thread}: {exception}"));
            let (ours, theirs) = (lines(frames.iter()), expected(told));
            assert!(same(&ours, &theirs), "{thread}: {exception}: {ours:#?}, not {theirs:#?}");
            compared += told.len();
            exception = exception["inner"].take();
        }
    }
    compared
}

const COMMANDS: [&str; 3] = ["threads", "stack --all", "printexception"];

fn fixture(build: &str) -> PathBuf {
    support::repository().join(format!("fixtures/dotnet-lines/{build}/Lines.dll"))
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn lines_are_those_that_the_runtime_prints() {
    let dotnet = Dotnet::find();
    // Code that was compiled in haste, with places from which loops go on in better code; once and for all; these places taken soon.
    type Variables = &'static [(&'static str, &'static str)];
    let builds: [(&str, Variables); 3] = [
        ("debug", &[]),
        ("embedded", &[("DOTNET_TieredCompilation", "0")]),
        ("embedded", &[("DOTNET_TC_OnStackReplacement_InitialCounter", "100"), ("DOTNET_OSR_HitLimit", "1")]),
    ];
    for (version, runtime) in &dotnet.runtimes {
        for (build, variables) in builds {
            println!(".NET {version}, {build}, {variables:?}");
            let process = Lines::start(&dotnet, version, &fixture(build), variables);
            let dump = process.dump(&runtime.join("createdump"), "--withheap");
            assert!(compare(&process, &answers(&dump, &[], &COMMANDS)) > 70);
        }
    }
}

/// `fixtures/dotnet-async`, in both builds: what a method waits at is a line of its source with the word `await`.
#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn suspended_methods_stand_at_lines_that_await() {
    let dotnet = Dotnet::find();
    let source = std::fs::read_to_string(support::repository().join("fixtures/dotnet-async/Async.cs"));
    let source: Vec<String> = source.expect("its source").lines().map(str::to_owned).collect();
    for (version, runtime) in &dotnet.runtimes {
        for build in ["Async", "AsyncDebug"] {
            println!(".NET {version}, {build}");
            let process = dotnet.start(version, "dotnet-async", build);
            let folder = tempfile::tempdir().expect("a temporary folder");
            let dump = folder.path().join("core");
            let mut command = Command::new(runtime.join("createdump"));
            command.args(["--withheap", "-f"]).arg(&dump).arg(process.pid().to_string());
            run(command).expect_status(0);
            let told = answers(&dump, &[], &["dumpasync"]).remove(0);
            let stacks = told["stacks"].as_array().expect("stacks").iter();
            let frames = stacks.flat_map(|stack| stack["frames"].as_array().expect("frames").clone());
            let mut lines = std::collections::BTreeSet::new();
            for frame in frames {
                let is_suspended = frame["state"].as_i64().is_some_and(|state| state >= 0);
                if !is_suspended || !frame["method"].as_str().is_some_and(|name| name.starts_with("Shop.")) {
                    continue;
                }
                let line = frame["line"].as_u64().unwrap_or_else(|| panic!("no line: {frame}"));
                let text = &source[usize::try_from(line).expect("a line") - 1];
                assert!(text.contains("await"), "{frame}: {text}");
                assert!(frame["file"].as_str().is_some_and(|file| file.ends_with("Async.cs")), "{frame}");
                lines.insert(line);
            }
            assert!(lines.len() >= 10, "{lines:?}");
        }
    }
}

/// As it is printed: the first three numbers have the lowest byte first where they are stored. Source: RFC 9562, appendix A, "GUID".
fn guid(bytes: [u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
    let (first, second, third) =
        (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]));
    let rest: Vec<String> = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{first:08x}-{second:04x}-{third:04x}-{}-{}", rest[..2].concat(), rest[2..].concat())
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_pdb_is_found_where_it_is_said_to_be_and_taken_by_its_id_alone() {
    let dotnet = Dotnet::find();
    let (version, runtime) = dotnet.runtimes.last().expect("one");
    // A program that is gone when its dump is read, with its PDB elsewhere.
    let app = tempfile::tempdir().expect("a temporary folder");
    let program = app.path().join("Lines.dll");
    for name in ["Lines.dll", "Lines.pdb", "Lines.runtimeconfig.json"] {
        std::fs::copy(fixture("debug").with_file_name(name), app.path().join(name)).expect("it is copied");
    }
    let process = Lines::start(&dotnet, version, &program, &[]);
    let dump = process.dump(&runtime.join("createdump"), "--full");
    std::fs::remove_file(app.path().join("Lines.pdb")).expect("it is there");
    std::fs::remove_file(&program).expect("it is there");
    let with = |options: &[&str]| answers(&dump, options, &COMMANDS);
    let has_lines = |told: &[Value]| {
        let threads = told[1]["threads"].as_array().expect("threads").iter();
        let mut frames = threads.flat_map(|thread| thread["frames"].as_array().expect("frames"));
        frames.any(|frame| frame["kind"] == "managed" && !frame["line"].is_null())
    };
    assert!(!has_lines(&with(&[])));
    let other = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy(fixture("debug").with_file_name("Lines.pdb"), other.path().join("Lines.pdb")).expect("it is copied");
    // Which file would help is said, and no longer where it is there.
    let bytes = std::fs::read(other.path().join("Lines.pdb")).expect("it is there");
    let at = bytes.windows(4).position(|name| name == b"#Pdb").expect("a stream") - 8;
    let start = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four")) as usize;
    let id = guid(bytes[start..start + 16].try_into().expect("sixteen"));
    let other = other.path().to_str().expect("plain");
    for (options, found) in [(&[][..], false), (&["--symbols", other], true)] {
        let modules = answers(&dump, options, &["modules"]).remove(0);
        let files = modules["debug_files"].as_array().expect("a list");
        assert_eq!(files.len(), 1, "{files:?}");
        let told = ["assembly", "version", "file", "id", "age", "found"].map(|field| files[0][field].clone());
        let expected: [Value; 6] =
            ["Lines.dll".into(), "0.0.0.0".into(), "Lines.pdb".into(), id.clone().into(), 1.into(), found.into()];
        assert_eq!(told, expected);
    }
    assert!(compare(&process, &with(&["--symbols", other])) > 70);
    let file = format!("{other}/Lines.pdb");
    // Where the dumped machine had it, below another root.
    let root = tempfile::tempdir().expect("a temporary folder");
    let below = root.path().join(app.path().strip_prefix("/").expect("absolute"));
    std::fs::create_dir_all(&below).expect("it can be made");
    std::fs::copy(&file, below.join("Lines.pdb")).expect("it is copied");
    assert!(compare(&process, &with(&["--sysroot", root.path().to_str().expect("plain")])) > 70);
    // One byte of its id differs: it is another build's.
    let mut bytes = bytes;
    bytes[start] ^= 1;
    let differs = guid(bytes[start..start + 16].try_into().expect("sixteen"));
    std::fs::write(&file, bytes).expect("it is written");
    assert!(!has_lines(&with(&["--symbols", other])));
    let why = |options: &[&str]| {
        let file = answers(&dump, options, &["modules"]).remove(0)["debug_files"][0].take();
        (file["found"].as_bool(), file["file"].as_str().map(str::to_owned), file["why"].as_str().map(str::to_owned))
    };
    let name = Some("Lines.pdb".to_owned());
    let refused = format!("the PDB is that of another build, {differs}");
    assert_eq!(why(&["--symbols", other]), (Some(false), name.clone(), Some(refused)));
    assert_eq!(why(&[]), (Some(false), name, None), "none is at hand");
}
