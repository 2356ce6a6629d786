//! Functions, inlined calls, lines and data of real programs, compared with nm and eu-addr2line.

use std::path::Path;

use crate::common::{compile, cpp, nm, open, run, rust, source};
use symbols::{ModuleSymbols, SourceKind, Svma, SymbolKind, demangle};

/// A function, its file and its line, as a tool prints them.
type Place = (String, String, Option<u32>);

/// What `addr2line -i -f` of binutils or elfutils prints for each address, innermost first.
fn addr2line(tool: &str, package: &str, program: &Path, addresses: &[u64]) -> Vec<Vec<Place>> {
    let mut arguments = vec!["-a".to_owned(), "-i".into(), "-f".into(), "-e".into()];
    arguments.push(program.display().to_string());
    arguments.extend(addresses.iter().map(|address| format!("{address:#x}")));
    let text = run(tool, package, arguments);
    let mut all: Vec<Vec<Place>> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            all.push(Vec::new());
            continue;
        }
        let function = line.split(" inlined at ").next().unwrap();
        let mut place = lines.next().unwrap().split([':', ' ']);
        let file = place.next().unwrap().rsplit('/').next().unwrap();
        let number = place.next().unwrap().parse().ok().filter(|line| *line > 0);
        all.last_mut().unwrap().push((function.to_owned(), file.to_owned(), number));
    }
    all
}

/// binutils 2.40 is right about inlined calls, but gives `__is_constant_evaluated` at -O0 the wrong file; elfutils 0.188 is right
/// about the file of an instruction, but adds calls that its own "inlined at" denies. gdb agrees with each where it is right.
#[test]
fn every_instruction_has_the_inlined_calls_of_binutils_and_the_file_of_elfutils() {
    let directory = tempfile::tempdir().unwrap();
    for options in [&["-g", "-O2"][..], &["-g", "-O0"], &["-gdwarf-4", "-O1", "-gz=zlib"]] {
        let program = cpp("names.cpp", directory.path(), options);
        let module = ModuleSymbols::new(Some(open(&program)), None);
        let (mut addresses, mut names) = (Vec::new(), Vec::new());
        for (start, size, kind, name) in nm(&program, "-a") {
            if "tTwW".contains(kind) && size > 0 && !name.starts_with("_start") {
                addresses.extend((start..start + size).step_by(3));
                names.resize(addresses.len(), name);
            }
        }
        assert!(addresses.len() > 200);
        let calls = addr2line("addr2line", "binutils", &program, &addresses);
        let files = addr2line("eu-addr2line", "elfutils", &program, &addresses);
        for (((address, name), calls), files) in addresses.iter().zip(&names).zip(calls).zip(files) {
            let frames = module.frames(Svma(*address));
            let ours: Vec<Option<u32>> = frames.iter().map(|frame| frame.line).collect();
            let theirs: Vec<Option<u32>> = calls.iter().map(|frame| frame.2).collect();
            assert_eq!(ours, theirs, "{options:?} {address:#x} {frames:#?} {calls:#?}");
            let file = frames[0].file.as_deref().and_then(|file| file.rsplit('/').next());
            assert_eq!(file.unwrap_or("??"), files[0].1, "{address:#x}");
            // The cold part of a function is that function.
            let expected = demangle(name.trim_end_matches(".cold"));
            let expected = expected.split(" [clone ").next();
            assert_eq!(frames.last().and_then(|physical| physical.function.as_deref()), expected, "{address:#x}");
        }
    }
}

/// The library that most Rust tools use: it follows inlined calls by recursion and knows no scopes, which is why it is not what
/// names addresses here; where code is nested as compilers nest it, the two must agree.
#[test]
fn every_instruction_has_the_lines_of_the_addr2line_library() {
    let directory = tempfile::tempdir().unwrap();
    let program = cpp("names.cpp", directory.path(), &["-g", "-O2"]);
    let file = open(&program);
    let load = |id: gimli::SectionId| {
        let bytes = file.section(id.name()).unwrap().map(|section| section.bytes.to_vec());
        Ok::<_, gimli::Error>(bytes.unwrap_or_default())
    };
    let sections = gimli::DwarfSections::load(load).unwrap();
    let dwarf = sections.borrow(|bytes| gimli::EndianSlice::new(bytes, gimli::LittleEndian));
    let library = addr2line::Context::from_dwarf(dwarf).unwrap();
    let module = ModuleSymbols::new(Some(open(&program)), None);
    let mut compared = 0;
    for (start, size, kind, name) in nm(&program, "-a") {
        if !"tTwW".contains(kind) || size == 0 || name.starts_with("_start") {
            continue;
        }
        for address in (start..start + size).step_by(3) {
            let mut theirs = Vec::new();
            let mut frames = library.find_frames(address).skip_all_loads().unwrap();
            while let Some(frame) = frames.next().unwrap() {
                theirs.push(frame.location.and_then(|place| place.line).filter(|line| *line > 0));
            }
            let ours: Vec<Option<u32>> = module.frames(Svma(address)).iter().map(|frame| frame.line).collect();
            assert_eq!(ours, theirs, "{name} {address:#x}");
            compared += 1;
        }
    }
    assert!(compared > 200);
}

#[test]
fn symbols_are_those_of_nm_with_their_ends() {
    let directory = tempfile::tempdir().unwrap();
    let program = cpp("names.cpp", directory.path(), &["-O1"]);
    let module = ModuleSymbols::new(Some(open(&program)), None);
    let mut functions = 0;
    for (start, size, kind, name) in nm(&program, "-a") {
        if "tTwW".contains(kind) && size > 0 {
            let same = |at: u64| module.function(Svma(at)).map(|symbol| (symbol.svma.0, symbol.size));
            assert_eq!(same(start), Some((start, size)), "{name}");
            assert_eq!(same(start + size - 1), Some((start, size)), "{name}");
            let behind = module.function(Svma(start + size));
            assert!(behind.is_none_or(|symbol| symbol.svma.0 >= start + size || symbol.size == 0), "{name}");
            functions += 1;
        }
    }
    assert!(functions > 10);
    let orders = module.lookup("g_orders").unwrap();
    assert_eq!((orders.size, orders.kind), (16, SymbolKind::Object));
    let inside = module.object(Svma(orders.svma.0 + 8)).unwrap();
    assert_eq!((&*inside.name, inside.svma), ("g_orders", orders.svma));
    assert_ne!(module.object(Svma(orders.svma.0 + 16)).map(|symbol| symbol.svma), Some(orders.svma));
    assert_eq!(module.lookup("no_such_name"), None);
    let hidden = module.symbols_starting_with("_ZN12_GLOBAL__N_1").next().unwrap();
    assert_eq!(demangle(&hidden.name), "(anonymous namespace)::hidden(int)");
}

#[test]
fn a_stripped_library_still_names_what_it_exports() {
    let directory = tempfile::tempdir().unwrap();
    let program = cpp("names.cpp", directory.path(), &["-O1", "-shared", "-fPIC", "-s"]);
    let module = ModuleSymbols::new(Some(open(&program)), None);
    let plain = nm(&program, "-D").into_iter().find(|symbol| symbol.3 == "plain_c").unwrap();
    let found = module.function(Svma(plain.0 + 1)).unwrap();
    assert_eq!((&*found.name, found.svma.0, found.size), ("plain_c", plain.0, plain.1));
    let frames = module.frames(Svma(plain.0 + 1));
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].function.as_deref(), Some("plain_c"));
    assert_eq!((frames[0].start, frames[0].line), (Some(found.svma), None));
    let kinds: Vec<SourceKind> = module.sources().iter().map(|source| source.kind).collect();
    assert_eq!(kinds, [SourceKind::DynamicSymbols]);
}

#[test]
fn the_debug_file_names_what_the_stripped_program_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let program = cpp("names.cpp", directory.path(), &["-g", "-O2", "-Wl,--build-id"]);
    let debug = directory.path().join("program.debug");
    let hidden = nm(&program, "-a").into_iter().find(|symbol| symbol.3.contains("hidden")).unwrap();
    run("objcopy", "binutils", ["--only-keep-debug".as_ref(), program.as_os_str(), debug.as_os_str()]);
    run("strip", "binutils", [&program]);
    let module = ModuleSymbols::new(Some(open(&program)), None);
    assert_eq!(module.function(Svma(hidden.0)), None);
    let module = ModuleSymbols::new(Some(open(&program)), Some(open(&debug)));
    assert_eq!(&*module.function(Svma(hidden.0)).unwrap().name, hidden.3);
    let frames = module.frames(Svma(hidden.0));
    assert!(frames.last().unwrap().file.as_ref().unwrap().ends_with("/tests/programs/names.cpp"));
    let dwarf = module.sources().into_iter().find(|source| source.kind == SourceKind::Dwarf).unwrap();
    assert_eq!((dwarf.place, dwarf.problem), (Some(symbols::Place::File(debug)), None));
}

#[test]
fn functions_that_only_one_file_sees_have_their_scope_also_when_inlined() {
    let directory = tempfile::tempdir().unwrap();
    let program = cpp("names.cpp", directory.path(), &["-g", "-O2"]);
    let module = ModuleSymbols::new(Some(open(&program)), None);
    let all: Vec<String> = nm(&program, "-a")
        .into_iter()
        .filter(|(_, size, kind, _)| "tTW".contains(*kind) && *size > 0)
        .flat_map(|(start, size, ..)| (start..start + size).flat_map(|at| module.frames(Svma(at))))
        .filter_map(|frame| frame.function.map(|name| name.to_string()))
        .collect();
    // The source: hidden_inline is inlined into file_static, the lambda in main into apply.
    for expected in ["(anonymous namespace)::hidden_inline", "main::{lambda}::operator()", "plain_c", "main"] {
        assert!(all.iter().any(|name| name == expected || name.starts_with(&format!("{expected}("))), "{expected}");
    }
    assert!(!all.iter().any(|name| name == "hidden_inline" || name.contains("[clone")));
}

#[test]
fn rust_names_have_their_path_and_no_hash_in_both_manglings() {
    // The v0 scheme keeps what generic parameters stand for and numbers closures; the legacy one does neither.
    for (mangling, item, closure) in [("legacy", "T", "{{closure}}"), ("v0", "u32", "{closure#0}")] {
        let directory = tempfile::tempdir().unwrap();
        let option = format!("-Csymbol-mangling-version={mangling}");
        let unstable = if mangling == "legacy" { "-Zunstable-options" } else { "-Cdebuginfo=2" };
        let options = ["--edition=2024", "-Cdebuginfo=2", "-Copt-level=2", &option, unstable];
        let program = rust("names.rs", directory.path(), &options);
        let module = ModuleSymbols::new(Some(open(&program)), None);
        let named = |wanted: &str| {
            let symbols = nm(&program, "-a").into_iter().filter(|(_, size, kind, _)| "tT".contains(*kind) && *size > 0);
            let ours = symbols.filter(|(.., name)| name.contains("pool") || name.contains("names"));
            let frames =
                ours.flat_map(|(start, size, ..)| (start..start + size).flat_map(|at| module.frames(Svma(at))));
            frames.filter_map(|frame| frame.function).find(|name| name.contains(wanted)).map(|name| name.to_string())
        };
        assert_eq!(
            named("Job>::run").as_deref(),
            Some(&*format!("<names::pool::Worker<{item}> as names::pool::Job>::run"))
        );
        assert_eq!(named("inner").as_deref(), Some("names::pool::inner"));
        assert_eq!(named("outlined").as_deref(), Some("names::pool::outlined"));
        assert_eq!(named("apply").as_deref(), Some("names::apply"));
        assert_eq!(named("names::main::{").as_deref(), Some(&*format!("names::main::{closure}")));
    }
}

/// The stubs that objdump shows: address and name.
fn stubs(objdump: &str, package: &str, program: &Path) -> Vec<(u64, String)> {
    let text = run(objdump, package, ["-d".as_ref(), program.as_os_str()]);
    let stub = |line: &str| {
        let (address, name) = line.strip_suffix("@plt>:")?.split_once(" <")?;
        Some((u64::from_str_radix(address, 16).ok()?, format!("{}@plt", demangle(name))))
    };
    text.lines().filter_map(stub).collect()
}

/// A copy of a program whose section headers are gone: e_shoff (8 bytes at 40), e_shnum and e_shstrndx (2 each at 60).
fn without_sections(program: &Path) -> std::path::PathBuf {
    let mut bytes = std::fs::read(program).expect("the program");
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    let copy = program.with_extension("bare");
    std::fs::write(&copy, bytes).expect("a copy");
    copy
}

#[test]
fn stubs_are_named_after_the_functions_they_lead_to() {
    let directory = tempfile::tempdir().unwrap();
    let arm =
        ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", "aarch64-linux-gnu-objdump", "binutils-aarch64-linux-gnu");
    let native = ("gcc", "gcc", "objdump", "binutils");
    for ((compiler, compiler_package, objdump, package), options) in
        [(native, &["-fPIC"][..]), (native, &["-fPIC", "-fcf-protection=full", "-Wl,-z,ibtplt"]), (arm, &["-fPIC"])]
    {
        let options = [&["-shared", "-nostdlib"], options].concat();
        let program = compile(compiler, compiler_package, &source("stubs.c"), directory.path(), "stubs.so", &options);
        let module = ModuleSymbols::new(Some(open(&program)), None);
        let expected = stubs(objdump, package, &program);
        assert_eq!(expected.len(), 3, "{compiler} {options:?}");
        let bare = ModuleSymbols::new(Some(open(&without_sections(&program))), None);
        for module in [module, bare] {
            for (at, name) in &expected {
                let found = module.frames(Svma(at + 8));
                assert_eq!(found[0].function.as_deref(), Some(&**name), "{compiler} {options:?} {at:#x}");
                assert_eq!(found[0].start, Some(Svma(*at)));
                assert!(module.is_stub(Svma(*at)) && module.is_stub(Svma(at + 15)));
            }
            let caller = module.lookup("caller").expect("a function of the program");
            assert!(!module.is_stub(caller.svma) && !module.is_stub(Svma(caller.svma.0 + caller.size - 1)));
        }
    }
}

#[test]
fn programs_of_another_machine_are_named_as_its_own_tools_do() {
    let directory = tempfile::tempdir().unwrap();
    let (compiler, package) = ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu");
    let options = ["-shared", "-fPIC", "-nostdlib", "-g", "-O2"];
    let program = compile(compiler, package, &source("small.c"), directory.path(), "small.so", &options);
    let file = open(&program);
    assert_eq!(file.machine(), symbols::Machine::Aarch64);
    let module = ModuleSymbols::new(Some(file), None);
    // The linker marks code and data with $x and $d, which are no functions.
    assert!(module.symbols(SymbolKind::Function).all(|symbol| !symbol.name.starts_with('$')));
    let functions = nm(&program, "-a").into_iter().filter(|(_, size, kind, _)| "tT".contains(*kind) && *size > 0);
    let addresses: Vec<u64> = functions.flat_map(|(start, size, ..)| (start..start + size).step_by(4)).collect();
    assert!(addresses.len() > 20);
    let tool = "aarch64-linux-gnu-addr2line";
    for (at, expected) in addresses.iter().zip(addr2line(tool, "binutils-aarch64-linux-gnu", &program, &addresses)) {
        let ours: Vec<Place> = module
            .frames(Svma(*at))
            .iter()
            .map(|frame| {
                let file = frame.file.as_deref().and_then(|file| file.rsplit('/').next()).unwrap_or("??");
                (frame.function.as_deref().unwrap_or("??").to_owned(), file.to_owned(), frame.line)
            })
            .collect();
        assert_eq!(ours, expected, "{at:#x}");
    }
}

#[test]
fn exports_are_named_without_section_headers() {
    let directory = tempfile::tempdir().unwrap();
    for hash in ["gnu", "sysv", "both"] {
        let hash = format!("-Wl,--hash-style={hash}");
        let program = cpp("names.cpp", directory.path(), &["-O1", "-shared", "-fPIC", "-s", &hash]);
        let mut bytes = std::fs::read(&program).unwrap();
        // e_shoff at 40; e_shnum and e_shstrndx at 60 (gABI, Elf64_Ehdr).
        bytes[40..48].fill(0);
        bytes[60..64].fill(0);
        let file = symbols::Elf::parse(symbols::FileBytes::from_vec(bytes)).unwrap();
        let module = ModuleSymbols::new(Some(file.into()), None);
        let exported = nm(&program, "-D");
        assert!(exported.len() > 5);
        for (start, size, _, name) in exported {
            let found = module.lookup(name.split('@').next().unwrap()).unwrap_or_else(|| panic!("{hash} {name}"));
            assert_eq!((found.svma.0, found.size), (start, size), "{hash} {name}");
        }
    }
}
