//! A module's file: headers, sections (compressed ones too), symbol tables, DWARF, links to other files.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use symbols::{Elf, FileBytes, ModuleSymbols, Svma};

fuzz_target!(|data: &[u8]| {
    let Ok(elf) = Elf::parse(FileBytes::from_vec(data.to_vec())) else { return };
    let elf = Arc::new(elf);
    for name in [".eh_frame", ".debug_info", ".debug_line", ".gnu_debugdata", ".symtab"] {
        let _ = elf.section(name);
    }
    let _ = (elf.build_id(), elf.soname(), elf.has_code(), elf.has_debug_info());
    assert!(elf.dynamic().count() <= 4096);
    let symbols = ModuleSymbols::new(Some(Arc::clone(&elf)), None);
    let starts = elf.segments().iter().take(4).map(|segment| segment.svma);
    for at in starts.chain([elf.entry(), Svma(0x1000), Svma(0x1139)]) {
        let _ = (symbols.function(at), symbols.object(at), symbols.global_at(at), symbols.locals(at));
        for frame in symbols.frames(at) {
            let _ = frame.line;
        }
    }
    let _ = symbols.lookup("main");
    let _ = symbols.type_named("int").and_then(|id| symbols.type_layout(id));
});
