//! Stores that are no directories: what they give is verified like any file, and what they fail to give is asked for again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{compile, cpp, nm, open, run, source};
use symbols::{
    Content, Elf, Fetch, FileBytes, Key, Located, Locator, ModuleId, ModuleSymbols, Outcome, Place, Remembered,
    SourceKind, Store, Svma, Wanted,
};

/// A server that gives one answer after the other, then the last one for ever.
#[derive(Debug)]
struct Server {
    answers: Vec<Fetch>,
    asked: AtomicUsize,
}

impl Server {
    fn new(answers: Vec<Fetch>) -> Arc<Server> {
        Arc::new(Server { answers, asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Store for Server {
    fn places(&self, key: &Key<'_>) -> Vec<Place> {
        let file = if key.content == Content::Code { "executable" } else { "debuginfo" };
        let Some(ModuleId::Elf(id)) = key.id else { return Vec::new() };
        vec![Place::Url(format!("https://symbols.example/buildid/{id}/{file}"))]
    }

    fn fetch(&self, _: &Place) -> Fetch {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        self.answers[turn.min(self.answers.len() - 1)].clone()
    }
}

fn locator(server: &Arc<Server>) -> Arc<Locator> {
    Arc::new(Locator { stores: vec![Arc::clone(server) as Arc<dyn Store>], ..Locator::nowhere() })
}

fn bytes(path: &Path) -> FileBytes {
    FileBytes::open(path).unwrap()
}

fn timeout() -> Fetch {
    Fetch::Failed("no answer within 10 s".to_owned())
}

/// A program without names, and its debug file.
fn stripped(directory: &Path) -> (Arc<Elf>, FileBytes) {
    let program = cpp("names.cpp", directory, &["-g", "-Wl,--build-id"]);
    let debug = directory.join("apart.debug");
    run("objcopy", "binutils", ["--only-keep-debug".as_ref(), program.as_os_str(), debug.as_os_str()]);
    run("strip", "binutils", [&program]);
    (open(&program), bytes(&debug))
}

fn debug_file(locator: &Locator, code: &Elf) -> Located {
    let wanted = Wanted { path: None, build_id: code.build_id(), machine: Some(code.machine()), contents: None };
    locator.debug(&wanted, Some(code))
}

#[test]
fn a_store_that_fails_is_asked_again_until_it_gives_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (code, debug) = stripped(directory.path());
    let server = Server::new(vec![timeout(), Fetch::Found(debug)]);
    let (locator, remembered) = (locator(&server), Remembered::default());
    let first = remembered.get_or_ask(|| debug_file(&locator, &code)).into_owned();
    let url = Place::Url(format!("https://symbols.example/buildid/{}/debuginfo", code.build_id().unwrap()));
    assert!(first.elf.is_none() && remembered.get().is_none());
    assert_eq!(first.attempts[0].place, url);
    assert_eq!(first.attempts[0].outcome, Outcome::Unreadable("no answer within 10 s".to_owned()));
    let second = remembered.get_or_ask(|| debug_file(&locator, &code)).into_owned();
    assert!(second.elf.is_some() && second.verified, "{:?}", second.attempts);
    assert_eq!(second.place, Some(url));
    remembered.get_or_ask(|| debug_file(&locator, &code));
    assert_eq!(server.asked(), 2, "what was found is kept");
}

#[test]
fn a_store_that_has_no_such_file_is_asked_once() {
    let directory = tempfile::tempdir().unwrap();
    let (code, _) = stripped(directory.path());
    let server = Server::new(vec![Fetch::Absent]);
    let (locator, remembered) = (locator(&server), Remembered::default());
    for _ in 0..3 {
        assert!(remembered.get_or_ask(|| debug_file(&locator, &code)).elf.is_none());
    }
    assert_eq!(server.asked(), 1);
}

#[test]
fn another_build_of_a_store_is_refused_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let (code, _) = stripped(directory.path());
    let other =
        compile("g++", "g++", &source("names.cpp"), directory.path(), "other", &["-g", "-O2", "-Wl,--build-id"]);
    let server = Server::new(vec![Fetch::Found(bytes(&other))]);
    let (locator, remembered) = (locator(&server), Remembered::default());
    let refused = remembered.get_or_ask(|| debug_file(&locator, &code));
    let found = open(&other).build_id().cloned();
    assert_eq!(refused.attempts[0].outcome, Outcome::BuildIdDiffers { found });
    assert!(refused.elf.is_none() && refused.place.is_none());
    assert!(remembered.get().is_some());
}

#[test]
fn a_directory_in_place_of_a_file_is_an_answer() {
    let directory = tempfile::tempdir().unwrap();
    let (code, _) = stripped(directory.path());
    let locator = Locator { directories: vec![directory.path().join("empty")], ..Locator::nowhere() };
    std::fs::create_dir(directory.path().join("empty")).unwrap();
    let found = debug_file(&locator, &code);
    let last = found.attempts.last().unwrap();
    assert_eq!((last.outcome.clone(), last.outcome.to_string()), (Outcome::NotAFile, "not a regular file".to_owned()));
    assert!(found.is_final());
}

#[test]
fn names_of_a_shared_file_come_once_its_store_answers() {
    let directory = tempfile::tempdir().unwrap();
    let build = |name: &str, options: &[&str]| {
        let options = [&["-g", "-O2", "-Wl,--build-id"], options].concat();
        compile("g++", "g++", &source("names.cpp"), directory.path(), name, &options)
    };
    let (one, two) = (build("one", &[]), build("two", &["-DTWO"]));
    let functions: Vec<_> =
        nm(&one, "-a").into_iter().filter(|symbol| symbol.1 > 0 && "tTwW".contains(symbol.2)).collect();
    let frames = |module: &ModuleSymbols| -> Vec<_> {
        let addresses = functions.iter().flat_map(|function| (function.0..function.0 + function.1).step_by(4));
        addresses.map(|at| module.frames(Svma(at))).collect()
    };
    let before = frames(&ModuleSymbols::new(Some(open(&one)), None));
    let shared = directory.path().join("packed");
    let arguments = ["-m".as_ref(), shared.as_os_str(), "-M".as_ref(), "/elsewhere/shared".as_ref()];
    run("dwz", "dwz", [&arguments[..], &[one.as_os_str(), two.as_os_str()]].concat());
    let server = Server::new(vec![timeout(), Fetch::Found(bytes(&shared))]);
    let module = ModuleSymbols::new(Some(open(&one)), None).with_locator(locator(&server));
    assert!(frames(&module) != before);
    assert_eq!(server.asked(), 1, "a question for a name waits once");
    let dwarf = module.sources().into_iter().find(|source| source.kind == SourceKind::Dwarf).unwrap();
    assert_eq!(dwarf.problem, None);
    assert!(frames(&module) == before);
    assert_eq!(server.asked(), 2);
}
