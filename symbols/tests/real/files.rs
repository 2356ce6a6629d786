//! Where files are found, and that only the right ones are taken.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{compile, cpp, nm, open, run, source};
use symbols::{BuildId, Located, Locator, Machine, ModuleSymbols, Outcome, Place, SourceKind, Svma, Wanted};

/// A locator that looks nowhere, so that the machine the tests run on does not matter.
fn nowhere() -> Locator {
    Locator {
        sysroot: None,
        exe: vec![],
        directories: vec![],
        debug_directories: vec![],
        caches: vec![],
        stores: vec![],
        opened: vec![],
        host: true,
    }
}

fn wanted<'a>(path: &'a Path, id: Option<&'a BuildId>) -> Wanted<'a> {
    Wanted { path: Some(path), build_id: id, machine: Some(Machine::X86_64), contents: None }
}

fn outcomes(located: &Located) -> Vec<(&Path, &Outcome)> {
    located.attempts.iter().map(|attempt| (attempt.place.path().unwrap(), &attempt.outcome)).collect()
}

/// A program with a build id, its debug file apart, and that id.
struct Stripped {
    program: PathBuf,
    debug: PathBuf,
    id: BuildId,
    main: Svma,
}

impl Stripped {
    fn new(directory: &Path, options: &[&str]) -> Stripped {
        let options = [&["-g", "-Wl,--build-id"], options].concat();
        let program = cpp("names.cpp", directory, &options);
        let debug = directory.join("apart.debug");
        let main = nm(&program, "-a").into_iter().find(|symbol| symbol.3 == "main").unwrap();
        run("objcopy", "binutils", ["--only-keep-debug".as_ref(), program.as_os_str(), debug.as_os_str()]);
        run("strip", "binutils", [&program]);
        let text = run("readelf", "binutils", ["-n".as_ref(), program.as_os_str()]);
        let id = text.split("Build ID: ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
        Stripped { id: BuildId::from_hex(id).unwrap(), main: Svma(main.0), program, debug }
    }

    fn link_debug_file(&self) {
        let link = format!("--add-gnu-debuglink={}", self.debug.display());
        run("objcopy", "binutils", [link.as_ref(), self.program.as_os_str()]);
    }

    fn has_lines(&self, locator: &Locator) -> bool {
        let code = open(&self.program);
        let debug = locator.debug(&wanted(&self.program, Some(&self.id)), Some(&code));
        let module = ModuleSymbols::new(Some(code), debug.elf);
        module.frames(self.main).first().is_some_and(|frame| frame.line.is_some())
    }
}

#[test]
fn the_recorded_path_is_taken_only_if_its_build_id_is_the_wanted_one() {
    let directory = tempfile::tempdir().unwrap();
    let built = Stripped::new(directory.path(), &[]);
    let found = nowhere().code(&wanted(&built.program, Some(&built.id)));
    assert_eq!(outcomes(&found), [(built.program.as_path(), &Outcome::Accepted)]);
    assert!(found.verified);
    assert_eq!(found.elf.unwrap().build_id(), Some(&built.id));

    let other = BuildId::from_hex("00112233").unwrap();
    let found = nowhere().code(&wanted(&built.program, Some(&other)));
    let refused = Outcome::BuildIdDiffers { found: Some(built.id.clone()) };
    assert_eq!(outcomes(&found), [(built.program.as_path(), &refused)]);
    assert!(found.elf.is_none() && found.place.is_none() && !found.verified);

    let found = nowhere().code(&wanted(&built.program, None));
    let why = "there is no build id and nothing to compare it with".to_owned();
    assert_eq!(outcomes(&found), [(built.program.as_path(), &Outcome::AcceptedUnverified(why))]);
    assert!(!found.verified && found.elf.is_some());

    let arm = Wanted { machine: Some(Machine::Aarch64), ..wanted(&built.program, Some(&built.id)) };
    assert_eq!(outcomes(&nowhere().code(&arm))[0].1, &Outcome::MachineDiffers { found: Machine::X86_64 });
}

#[test]
fn a_deleted_executable_is_found_where_the_user_says_it_is_now() {
    let directory = tempfile::tempdir().unwrap();
    let built = Stripped::new(directory.path(), &[]);
    let kept = directory.path().join("kept-elsewhere");
    fs::rename(&built.program, &kept).unwrap();
    let recorded = PathBuf::from(format!("{} (deleted)", built.program.display()));
    let locator = Locator { exe: vec![built.debug.clone(), kept.clone()], ..nowhere() };
    let found = locator.code(&wanted(&recorded, Some(&built.id)));
    let lacks = Outcome::Lacks("code (it is a separate debug file)");
    assert_eq!(outcomes(&found), [(built.debug.as_path(), &lacks), (kept.as_path(), &Outcome::Accepted)]);
    // Without a build id only the name tells, and the name of the kept file is another.
    let found = locator.code(&wanted(&recorded, None));
    assert_eq!(outcomes(&found), [(built.program.as_path(), &Outcome::Absent)]);
}

#[test]
fn the_sysroot_is_searched_before_this_machine_and_its_links_stay_inside() {
    let directory = tempfile::tempdir().unwrap();
    let built = Stripped::new(directory.path(), &[]);
    let root = directory.path().join("root");
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::copy(&built.program, root.join("usr/bin/tool")).unwrap();
    // As on a merged-usr system, but absolute: outside the sysroot it would lead to this machine's /usr/bin.
    std::os::unix::fs::symlink("/usr/bin", root.join("bin")).unwrap();
    let locator = Locator { sysroot: Some(root.clone()), ..nowhere() };
    let found = locator.code(&wanted(Path::new("/bin/tool"), Some(&built.id)));
    assert_eq!(outcomes(&found), [(root.join("bin/tool").as_path(), &Outcome::Accepted)]);
    let climbing = locator.code(&wanted(Path::new("/../../etc/passwd"), None));
    assert!(climbing.attempts.is_empty());
}

#[test]
fn debug_files_are_found_in_every_place_they_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let built = Stripped::new(directory.path(), &[]);
    let hex = built.id.to_string();
    let (two, rest) = hex.split_at(2);
    assert!(!built.has_lines(&nowhere()));
    let place = |name: &str| {
        let root = directory.path().join("roots").join(name.replace('/', "-"));
        let file = root.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(&built.debug, file).unwrap();
        root
    };
    let tree = place(&format!(".build-id/{two}/{rest}.debug"));
    assert!(built.has_lines(&Locator { debug_directories: vec![tree.clone()], ..nowhere() }));
    assert!(built.has_lines(&Locator { directories: vec![tree], ..nowhere() }));
    let cache = place(&format!("{hex}/debuginfo"));
    assert!(built.has_lines(&Locator { caches: vec![cache.clone()], ..nowhere() }));
    assert!(built.has_lines(&Locator { directories: vec![cache], ..nowhere() }));
    let padded = format!("_.debug/elf-buildid-sym-{hex:0<40}/_.debug");
    let flat = "program.debug".to_owned();
    for name in [format!("{two}/{rest}/debuginfo"), padded, flat] {
        assert!(built.has_lines(&Locator { directories: vec![place(&name)], ..nowhere() }), "{name}");
    }
    // A single file where a directory is expected.
    assert!(built.has_lines(&Locator { directories: vec![built.debug.clone()], ..nowhere() }));
}

#[test]
fn a_debuglink_is_followed_by_its_last_component_and_its_checksum() {
    let directory = tempfile::tempdir().unwrap();
    let built = Stripped::new(directory.path(), &[]);
    built.link_debug_file();
    assert!(built.has_lines(&nowhere()), "beside the program");
    let hidden = directory.path().join(".debug");
    fs::create_dir(&hidden).unwrap();
    fs::rename(&built.debug, hidden.join("apart.debug")).unwrap();
    assert!(built.has_lines(&nowhere()), "in .debug");
    let root = directory.path().join("debug-root");
    let below = root.join(directory.path().strip_prefix("/").unwrap());
    fs::create_dir_all(&below).unwrap();
    fs::rename(hidden.join("apart.debug"), below.join("apart.debug")).unwrap();
    assert!(built.has_lines(&Locator { debug_directories: vec![root], ..nowhere() }), "in the debug directory");
}

#[test]
fn without_build_ids_the_checksum_of_the_debuglink_decides() {
    let directory = tempfile::tempdir().unwrap();
    let program = cpp("names.cpp", directory.path(), &["-g", "-Wl,--build-id=none"]);
    let debug = directory.path().join("program.debug");
    run("objcopy", "binutils", ["--only-keep-debug".as_ref(), program.as_os_str(), debug.as_os_str()]);
    let link = format!("--add-gnu-debuglink={}", debug.display());
    run("objcopy", "binutils", ["--strip-all".as_ref(), link.as_ref(), program.as_os_str()]);
    let code = open(&program);
    let found = nowhere().debug(&wanted(&program, None), Some(&code));
    assert_eq!(outcomes(&found).last(), Some(&(debug.as_path(), &Outcome::Accepted)));
    assert!(found.verified);
    let mut bytes = fs::read(&debug).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&debug, bytes).unwrap();
    let found = nowhere().debug(&wanted(&program, None), Some(&code));
    assert_eq!(outcomes(&found)[0], (debug.as_path(), &Outcome::CrcDiffers));
    assert!(found.elf.is_none());
}

#[test]
fn without_build_id_and_checksum_sections_and_symbols_tell_whose_debug_file_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let options = ["-g", "-Wl,--build-id=none", "-rdynamic"];
    let program = cpp("names.cpp", directory.path(), &options);
    let kept = directory.path().join("kept");
    let debug = kept.join(format!("{}.debug", program.file_name().unwrap().to_string_lossy()));
    fs::create_dir(&kept).unwrap();
    run("objcopy", "binutils", ["--only-keep-debug".as_ref(), program.as_os_str(), debug.as_os_str()]);
    run("strip", "binutils", [&program]);
    let locator = Locator { directories: vec![kept], ..nowhere() };
    let found = locator.debug(&wanted(&program, None), Some(&open(&program)));
    let told = found.attempts.last().map(|attempt| &attempt.outcome);
    let accepted = matches!(told, Some(Outcome::AcceptedByContents(what)) if what.contains("symbols"));
    assert!(accepted, "{:?}", found.attempts);
    assert!(found.verified && found.elf.is_some());

    // Another build of the same source: its instructions are others.
    let other = tempfile::tempdir().unwrap();
    let rebuilt = cpp("names.cpp", other.path(), &["-g", "-O2", "-Wl,--build-id=none", "-rdynamic"]);
    run("objcopy", "binutils", ["--only-keep-debug".as_ref(), rebuilt.as_os_str(), debug.as_os_str()]);
    let found = locator.debug(&wanted(&program, None), Some(&open(&program)));
    let refused = outcomes(&found)
        .into_iter()
        .any(|(path, outcome)| path == debug.as_path() && matches!(outcome, Outcome::ContentsDiffer(_)));
    assert!(refused && found.elf.is_none(), "{:?}", found.attempts);
}

#[test]
fn what_is_no_elf_file_and_what_is_empty_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let id = BuildId::from_hex("aabbcc").unwrap();
    let text = directory.path().join("text");
    fs::write(&text, "<html>404</html>").unwrap();
    assert_eq!(outcomes(&nowhere().code(&wanted(&text, Some(&id)))), [(text.as_path(), &Outcome::NotElf)]);
    // A debuginfod client leaves an empty file for what no server had.
    let entry = directory.path().join("aabbcc");
    fs::create_dir(&entry).unwrap();
    fs::write(entry.join("executable"), "").unwrap();
    let locator = Locator { caches: vec![directory.path().to_owned()], ..nowhere() };
    let found = locator.code(&Wanted { path: None, build_id: Some(&id), machine: None, contents: None });
    assert_eq!(outcomes(&found), [(entry.join("executable").as_path(), &Outcome::Absent)]);
}

#[test]
fn compressed_sections_of_all_three_kinds_are_read() {
    let directory = tempfile::tempdir().unwrap();
    for option in ["-gz=zlib", "-gz=zlib-gnu", "-gz=zstd"] {
        // binutils 2.40 knows zstd, but Debian's gcc 12 does not pass it on: objcopy does it there.
        let program = if option == "-gz=zstd" {
            let plain = cpp("names.cpp", directory.path(), &["-g"]);
            let packed = directory.path().join("packed");
            let arguments = ["--compress-debug-sections=zstd".as_ref(), plain.as_os_str(), packed.as_os_str()];
            run("objcopy", "binutils", arguments);
            packed
        } else {
            cpp("names.cpp", directory.path(), &["-g", option])
        };
        let main = nm(&program, "-a").into_iter().find(|symbol| symbol.3 == "main").unwrap();
        let module = ModuleSymbols::new(Some(open(&program)), None);
        assert!(module.frames(Svma(main.0))[0].line.is_some(), "{option} {:?}", module.sources());
    }
}

#[test]
fn functions_of_a_mini_debug_info_section_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let program = cpp("names.cpp", directory.path(), &["-O1"]);
    let local = nm(&program, "-a").into_iter().find(|symbol| symbol.3.contains("file_static")).unwrap();
    // As Fedora's find-debuginfo does it: the symbol table alone, compressed, added to the stripped program.
    let mini = directory.path().join("mini");
    run(
        "objcopy",
        "binutils",
        ["-S", "--keep-symbol=_ZL11file_statici", "--remove-section=.comment"]
            .map(str::as_ref)
            .into_iter()
            .chain([program.as_os_str(), mini.as_os_str()]),
    );
    run("xz", "xz-utils", ["-f".as_ref(), mini.as_os_str()]);
    let packed = mini.with_extension("xz");
    let add = format!("--add-section=.gnu_debugdata={}", packed.display());
    run("strip", "binutils", [&program]);
    run("objcopy", "binutils", [add.as_ref(), program.as_os_str()]);
    let module = ModuleSymbols::new(Some(open(&program)), None);
    let found = module.function(Svma(local.0 + 1)).unwrap();
    assert_eq!((&*found.name, found.size), (local.3.as_str(), local.1));
    let source = module.sources().into_iter().find(|source| source.kind == SourceKind::MiniSymbols).unwrap();
    assert_eq!((source.place, source.problem), (Some(Place::File(program)), None));
}

#[test]
fn names_that_dwz_moved_to_a_shared_file_are_found_there() {
    let directory = tempfile::tempdir().unwrap();
    let build = |name: &str, options: &[&str]| {
        let options = [&["-g", "-O2", "-Wl,--build-id"], options].concat();
        compile("g++", "g++", &source("names.cpp"), directory.path(), name, &options)
    };
    let (one, two) = (build("one", &[]), build("two", &["-DTWO"]));
    let shared = directory.path().join("shared");
    let main = nm(&one, "-a").into_iter().find(|symbol| symbol.3 == "main").unwrap();
    let before = ModuleSymbols::new(Some(open(&one)), None).frames(Svma(main.0 + main.1 / 2));
    run(
        "dwz",
        "dwz",
        [
            "-m".as_ref(),
            shared.as_os_str(),
            "-M".as_ref(),
            "/elsewhere/shared".as_ref(),
            one.as_os_str(),
            two.as_os_str(),
        ],
    );
    let code = open(&one);
    assert!(code.alt_link().unwrap().is_some(), "dwz found nothing to share");
    let module = || ModuleSymbols::new(Some(open(&one)), None);
    let locator = std::sync::Arc::new(nowhere());
    assert_eq!(module().with_locator(locator.clone()).frames(Svma(main.0 + main.1 / 2)), before);
    // A shared file of another build is not taken, and its names are then missing rather than wrong.
    fs::copy(&two, &shared).unwrap();
    let refused = locator.supplementary(&code);
    assert!(matches!(refused.attempts[0].outcome, Outcome::BuildIdDiffers { .. }), "{refused:?}");
    assert!(refused.elf.is_none());
    let sources = module().with_locator(locator).sources();
    let problem =
        sources.into_iter().find(|source| source.kind == SourceKind::Dwarf).unwrap().problem.unwrap().to_string();
    assert!(problem.contains("shared debug file /elsewhere/shared"), "{problem}");
}

#[test]
fn a_debug_file_that_is_overwritten_while_open_is_said_to_be_shortened() {
    let directory = tempfile::tempdir().unwrap();
    let program = cpp("names.cpp", directory.path(), &["-g"]);
    let module = ModuleSymbols::new(Some(open(&program)), None);
    assert!(module.sources().iter().all(|source| source.problem.is_none()));
    fs::OpenOptions::new().write(true).open(&program).unwrap().set_len(4096).unwrap();
    assert_eq!(module.frames(Svma(0x1000)), []);
    let problem = module.sources()[0].problem.clone().unwrap().to_string();
    assert!(problem.contains("shortened"), "{problem}");
}

#[test]
fn split_units_are_found_beside_the_program_and_in_a_package() {
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let directory = tempfile::tempdir().unwrap();
        let options = [version, "-O2"];
        let whole = cpp("names.cpp", directory.path(), &[&options[..], &["-g"]].concat());
        let addresses: Vec<u64> = nm(&whole, "-a")
            .into_iter()
            .filter(|(_, size, kind, name)| "tTW".contains(*kind) && *size > 0 && !name.starts_with("_start"))
            .flat_map(|(start, size, ..)| (start..start + size).step_by(5))
            .collect();
        let frames = |program: &Path, locator: Locator| {
            let module = ModuleSymbols::new(Some(open(program)), None).with_locator(locator.into());
            addresses.iter().map(|at| module.frames(Svma(*at))).collect::<Vec<_>>()
        };
        let expected = frames(&whole, nowhere());
        let split = compile(
            "g++",
            "g++",
            &source("names.cpp"),
            directory.path(),
            "split",
            &[&options[..], &["-gsplit-dwarf", "-g"]].concat(),
        );
        let unit = directory.path().join("split-names.dwo");
        assert!(unit.exists());
        assert!(frames(&split, nowhere()) == expected, "{version} .dwo");

        let moved = directory.path().join("units");
        fs::create_dir(&moved).unwrap();
        fs::rename(&unit, moved.join("split-names.dwo")).unwrap();
        assert!(frames(&split, nowhere()) != expected, "{version} gone");
        let locator = || Locator { directories: vec![moved.clone()], ..nowhere() };
        assert!(frames(&split, locator()) == expected, "{version} in a directory");

        let package = directory.path().join("split.dwp");
        // binutils 2.40 writes packages of DWARF 5 units with an index that neither it nor gdb can read.
        let (dwp, from) = if version == "-gdwarf-5" { ("llvm-dwp", "llvm") } else { ("dwp", "binutils") };
        run(dwp, from, [moved.join("split-names.dwo").as_os_str(), "-o".as_ref(), package.as_os_str()]);
        assert!(frames(&split, nowhere()) == expected, "{version} .dwp");
    }
}
