//! A module's file, rebuilt from pages of the dump.
#![no_main]

use std::sync::Arc;

use dumpscope::capture::exports::Exports;
use dumpscope::capture::{ImageKind, MappedModule, MappedPart, Memory, Role, image};
use dumpscope::model::Addr;
use libfuzzer_sys::fuzz_target;
use symbols::{ModuleSymbols, SymbolKind};

fuzz_target!(|data: &[u8]| {
    const BASE: Addr = Addr(0x10_0000);
    let memory = Memory::of_bytes(BASE.0, data);
    let end = Addr(BASE.0 + data.len() as u64);
    for kind in [ImageKind::Vdso, ImageKind::ELF] {
        let mut mapped = MappedModule {
            base: BASE,
            end,
            bias: Some(BASE.0),
            path: None,
            build_id: Ok(None),
            parts: vec![MappedPart { start: BASE, end, offset: 0 }],
            copies: Vec::new(),
            role: Role::Library,
            image: kind,
        };
        // What is exported: names come from the dump's bytes, however often they are asked for.
        if let Some(file) = Exports::of(&memory).file(&mapped) {
            let names = ModuleSymbols::new(Some(Arc::new(file)), None);
            assert!(names.symbols(SymbolKind::Function).all(|symbol| symbol.name.len() <= 3 * data.len()));
        }
        if let Some(elf) = image::from_memory(&mapped, &memory, &mut image::Room::of(&memory)).elf {
            mapped.bias = None;
            image::place(&mut mapped, &elf);
            // What the rebuilt file holds comes from the dump.
            let held: u64 = elf.segments().iter().map(|segment| segment.file_size).max().unwrap_or(0);
            assert!(kind == ImageKind::Vdso || held <= data.len() as u64);
        }
    }
});
