//! What addresses in a program's data are, what its types look like, and which variables its functions have.

use std::collections::BTreeSet;
use std::path::Path;

use symbols::{Encoding, Locals, Location, ModuleSymbols, Svma, TypeKind, demangle};

use crate::common::{compile, cpp, nm, open, run, rust, source};

/// What gdb prints for expressions that are addresses.
fn addresses(program: &Path, expressions: &[&str]) -> Vec<u64> {
    let mut arguments = vec!["-batch".to_owned(), "-nx".into()];
    for expression in expressions {
        arguments.extend([
            "-ex".to_owned(),
            format!("output/x (unsigned long)({expression})"),
            "-ex".into(),
            "echo \\n".into(),
        ]);
    }
    arguments.push(program.display().to_string());
    let text = run("gdb", "gdb", arguments);
    let values: Vec<u64> =
        text.lines().filter_map(|line| u64::from_str_radix(line.trim().strip_prefix("0x")?, 16).ok()).collect();
    assert_eq!(values.len(), expressions.len(), "{text}");
    values
}

#[test]
fn an_address_in_a_global_is_told_by_the_members_that_lead_to_it() {
    let directory = tempfile::tempdir().unwrap();
    for options in [&["-gdwarf-5"][..], &["-gdwarf-4", "-O2"]] {
        let program = cpp("variables.cpp", directory.path(), options);
        let module = ModuleSymbols::new(Some(open(&program)), None);
        let cases = [
            ("&shop::g_cache.shards[2].mutex_", "shop::g_cache.shards[2].mutex_", "std::shared_mutex"),
            // A base class has no name of its own.
            ("&shop::g_cache.shards[1].base_mutex", "shop::g_cache.shards[1].base_mutex", "std::mutex"),
            // The member that holds an array's elements is the library's business.
            ("&shop::g_cache.locks._M_elems[2]", "shop::g_cache.locks[2]", "std::mutex"),
            ("&shop::g_cache.both.second.value", "shop::g_cache.both.second.value", "int"),
            ("&shop::g_cache.name", "shop::g_cache.name", "char const*"),
            ("&shop::g_cache.make", "shop::g_cache.make", "Node* (*)(int, char const*)"),
            ("&shop::g_cache.shards[3].color", "shop::g_cache.shards[3].color", "shop::Color"),
            ("&shop::s_node.value", "shop::s_node.value", "int"),
            ("&'(anonymous namespace)::hidden_lock'", "(anonymous namespace)::hidden_lock", "std::mutex"),
            ("&'function_static()::once_lock'", "function_static()::once_lock", "std::mutex"),
        ];
        let expressions: Vec<&str> = cases.iter().map(|case| case.0).collect();
        for (at, (_, path, ty)) in addresses(&program, &expressions).into_iter().zip(cases) {
            let part = module.global_at(Svma(at)).unwrap_or_else(|| panic!("{path} at {at:#x}"));
            assert_eq!((part.path.as_str(), part.type_name.as_str(), part.offset), (path, ty, 0));
        }
        let [inside] = addresses(&program, &["(char*)&shop::g_cache.shards[2].mutex_ + 8"])[..] else { panic!() };
        let part = module.global_at(Svma(inside)).unwrap();
        assert_eq!((&*part.path, part.offset), ("shop::g_cache.shards[2].mutex_", 8));
        let cache = module.lookup("_ZN4shop7g_cacheE").unwrap();
        assert!(module.global_at(Svma(cache.svma.0 - 1)).is_none_or(|part| !part.path.contains("g_cache")));
        let behind = module.global_at(Svma(cache.svma.0 + cache.size));
        assert!(behind.is_none_or(|part| !part.path.contains("g_cache")));
    }
}

#[test]
fn types_have_the_sizes_and_offsets_that_gdb_gives() {
    let directory = tempfile::tempdir().unwrap();
    let program = cpp("variables.cpp", directory.path(), &["-g"]);
    let module = ModuleSymbols::new(Some(open(&program)), None);
    let shard = module.type_named("shop::Shard").unwrap();
    let layout = module.type_layout(shard).unwrap();
    let TypeKind::Structure { members, variants: None, .. } = &layout.kind else { panic!("{layout:?}") };
    let zero = "(shop::Shard*)0";
    let asked: Vec<String> = ["items", "mutex_", "color", "as_int"].map(|name| format!("&({zero})->{name}")).to_vec();
    let mut asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    asked.push("sizeof(shop::Shard)");
    let expected = addresses(&program, &asked);
    let offset =
        |name: &str| members.iter().find(|member| member.name.as_deref() == Some(name)).map(|member| member.offset);
    assert_eq!(offset("items"), Some(expected[0]));
    assert_eq!(offset("mutex_"), Some(expected[1]));
    assert_eq!(offset("color"), Some(expected[2]));
    let unnamed = members.iter().find(|member| member.name.is_none() && !member.is_base).unwrap();
    assert_eq!(unnamed.offset, expected[3]);
    assert_eq!(layout.size, Some(expected[4]));
    assert_eq!(members.iter().filter(|member| member.is_base).map(|member| member.offset).collect::<Vec<_>>(), [0]);
    // small takes the lowest 3 bits of its word, wide the 17 above (x86-64 psABI, bit-fields are laid out from the low end).
    let bits = |name: &str| members.iter().find(|member| member.name.as_deref() == Some(name)).unwrap().bits;
    assert_eq!((bits("small"), bits("wide")), (Some((0, 3)), Some((3, 17))));

    let color =
        module.type_layout(members.iter().find(|member| member.name.as_deref() == Some("color")).unwrap().ty).unwrap();
    assert_eq!(color.kind, TypeKind::Enumeration(vec![("red".into(), 1), ("green".into(), 7)]));
    assert_eq!((color.name.as_str(), color.size), ("shop::Color", Some(1)));

    let cache = module.type_layout(module.type_named("shop::Cache").unwrap()).unwrap();
    let TypeKind::Structure { members, .. } = cache.kind else { panic!() };
    let member = |name: &str| members.iter().find(|member| member.name.as_deref() == Some(name)).unwrap().ty;
    let grid = module.type_layout(member("grid")).unwrap();
    let TypeKind::Array { element, count, .. } = grid.kind else { panic!("{grid:?}") };
    assert_eq!((count, grid.size), (Some(10), Some(40)));
    let int = module.type_layout(element).unwrap();
    assert_eq!((int.name.as_str(), int.size, int.kind), ("int", Some(4), TypeKind::Base(Encoding::Signed)));
    let name = module.type_layout(member("name")).unwrap();
    let TypeKind::Pointer(Some(target)) = name.kind else { panic!() };
    assert_eq!((name.name.as_str(), name.size), ("char const*", Some(8)));
    assert_eq!(module.type_layout(target).unwrap().name, "char const");

    let part = module.part_of(shard, expected[1]).unwrap();
    assert_eq!((part.path.as_str(), part.type_name.as_str()), (".mutex_", "std::shared_mutex"));
    assert_eq!(module.type_named("shop::NoSuchType"), None);
}

/// The names of the variables, with the function each belongs to.
fn named(module: &ModuleSymbols, at: u64, locals: &Locals) -> BTreeSet<(String, String)> {
    let frames = module.frames(Svma(at));
    let of = |variable: &symbols::Variable| {
        let function = frames[variable.frame].function.as_deref().unwrap_or("?");
        (function.to_owned(), variable.name.clone().unwrap_or_default())
    };
    locals.variables.iter().map(of).collect()
}

#[test]
fn variables_are_those_of_the_blocks_and_inlined_calls_around_the_address() {
    let directory = tempfile::tempdir().unwrap();
    let program = cpp("variables.cpp", directory.path(), &["-g", "-O2"]);
    let module = ModuleSymbols::new(Some(open(&program)), None);
    let (start, size, ..) = nm(&program, "-a").into_iter().find(|symbol| symbol.3.starts_with("_Z4worki")).unwrap();
    let at_entry = module.locals(Svma(start)).unwrap();
    let pair = |function: &str, name: &str| (function.to_owned(), name.to_owned());
    let work = "work(int, Node const&)";
    let always =
        BTreeSet::from([pair(work, "first"), pair(work, "second"), pair(work, "outer_local"), pair(work, "known")]);
    assert!(named(&module, start, &at_entry).is_superset(&always));
    let first = &at_entry.variables[0];
    assert_eq!(
        (first.name.as_deref(), first.type_name.as_deref(), first.is_parameter),
        (Some("first"), Some("int"), true)
    );
    // The first integer argument is in rdi, DWARF register 5 (x86-64 psABI §3.2.3, figure 3.36): DW_OP_reg5.
    let Location::Expression(expression) = &first.location else { panic!("{first:?}") };
    assert_eq!(expression.bytes, [gimli::DW_OP_reg5.0]);
    assert_eq!(at_entry.variables[1].type_name.as_deref(), Some("Node const&"));
    let known = at_entry.variables.iter().find(|variable| variable.name.as_deref() == Some("known")).unwrap();
    let Location::Constant(bytes) = &known.location else { panic!("{known:?}") };
    assert_eq!(bytes[0], 42);

    let everywhere: BTreeSet<(String, String)> =
        (start..start + size).flat_map(|at| named(&module, at, &module.locals(Svma(at)).unwrap())).collect();
    assert!(everywhere.contains(&pair(work, "block_local")));
    assert!(everywhere.contains(&pair("twice(int)", "inner_parameter")));
    assert!(everywhere.contains(&pair("twice(int)", "inner_local")));
    assert!(!named(&module, start, &at_entry).contains(&pair(work, "block_local")), "the loop has not begun");
}

#[test]
fn unoptimised_variables_are_counted_from_the_frame_base() {
    let directory = tempfile::tempdir().unwrap();
    let program = cpp("variables.cpp", directory.path(), &["-g", "-O0"]);
    let module = ModuleSymbols::new(Some(open(&program)), None);
    let (start, ..) = nm(&program, "-a").into_iter().find(|symbol| symbol.3.starts_with("_Z4worki")).unwrap();
    let locals = module.locals(Svma(start + 12)).unwrap();
    assert_eq!(locals.frame_base.unwrap().bytes, [gimli::DW_OP_call_frame_cfa.0]);
    let Location::Expression(place) = &locals.variables[0].location else { panic!() };
    assert_eq!(place.bytes[0], gimli::DW_OP_fbreg.0);
    assert_eq!(place.encoding.address_size, 8);
}

#[test]
fn split_units_tell_variables_and_types_as_whole_ones_do() {
    let directory = tempfile::tempdir().unwrap();
    let options = ["-gdwarf-5", "-O2", "-g"];
    let whole = cpp("variables.cpp", directory.path(), &options);
    let split = [&options[..], &["-gsplit-dwarf"]].concat();
    let split = compile("g++", "g++", &source("variables.cpp"), directory.path(), "split", &split);
    let locator = symbols::Locator { directories: vec![directory.path().to_owned()], ..Default::default() };
    let whole = ModuleSymbols::new(Some(open(&whole)), None);
    let split = ModuleSymbols::new(Some(open(&split)), None).with_locator(locator.into());
    let cache = whole.lookup("_ZN4shop7g_cacheE").unwrap().svma;
    let part = |module: &ModuleSymbols| {
        let part = module.global_at(Svma(cache.0 + 8)).unwrap();
        (part.path, part.type_name, part.offset)
    };
    assert_eq!(part(&split), part(&whole));
    let layout = |module: &ModuleSymbols| {
        let layout = module.type_layout(module.type_named("shop::Shard").unwrap()).unwrap();
        let TypeKind::Structure { members, .. } = layout.kind else { panic!() };
        members
            .into_iter()
            .map(|member| (member.name, member.offset, module.type_layout(member.ty).unwrap().name))
            .collect::<Vec<_>>()
    };
    assert_eq!(layout(&split).len(), layout(&whole).len());
    let work = whole.lookup("_Z4workiRK4Node").unwrap();
    for at in (work.svma.0..work.svma.0 + work.size).step_by(3) {
        let places = |module: &ModuleSymbols| {
            let locals = module.locals(Svma(at)).unwrap();
            locals
                .variables
                .into_iter()
                .map(|variable| (variable.name, variable.type_name, variable.location))
                .collect::<Vec<_>>()
        };
        assert_eq!(places(&split), places(&whole), "{at:#x}");
    }
}

#[test]
fn rust_statics_enums_and_locals_are_known() {
    let directory = tempfile::tempdir().unwrap();
    let program = rust("variables.rs", directory.path(), &["--edition=2024", "-Cdebuginfo=2"]);
    let module = ModuleSymbols::new(Some(open(&program)), None);
    let symbol = nm(&program, "-a").into_iter().find(|symbol| symbol.3.contains("ORDERS")).unwrap();
    let part = module.global_at(Svma(symbol.0)).unwrap();
    assert_eq!((part.path.as_str(), part.offset), ("variables::shop::ORDERS", 0));
    assert!(part.type_name.starts_with("std::sync::"), "{}", part.type_name);
    assert!(part.type_name.ends_with("Mutex<u32>"), "{}", part.type_name);

    let shape = module.type_layout(module.type_named("variables::shop::Shape").unwrap()).unwrap();
    let TypeKind::Structure { variants: Some(variants), .. } = shape.kind else { panic!("{shape:?}") };
    assert!(variants.discriminant.is_some());
    let names: Vec<&str> = variants.cases.iter().filter_map(|(_, member)| member.name.as_deref()).collect();
    assert_eq!(names, ["Circle", "Square", "Nothing"]);

    let area = nm(&program, "-a").into_iter().find(|symbol| demangle(&symbol.3) == "variables::shop::area").unwrap();
    let locals = module.locals(Svma(area.0 + area.1 - 1)).unwrap();
    assert_eq!(locals.variables[0].name.as_deref(), Some("shape"));
    assert_eq!(locals.variables[0].type_name.as_deref(), Some("&variables::shop::Shape"));
}
