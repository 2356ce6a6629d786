//! Files that lie: every answer may be wrong or missing, none may panic, hang, or take memory without end.
#![cfg(test)]

mod debug_info;
mod headers;
mod mutants;
mod writer;

use std::time::Duration;

use symbols::{Elf, FileBytes, ModuleSymbols, Svma, SymbolKind, TypeKind};

/// Asks everything that can be asked of a file. How many answers there were is returned so that a test can see that some were reached.
fn ask_everything(bytes: Vec<u8>) -> usize {
    let started = processor_time();
    let Ok(file) = Elf::parse(FileBytes::from_vec(bytes)) else { return 0 };
    let mut answers = 1;
    let _ = (file.machine(), file.is_dynamic(), file.entry(), file.build_id(), file.soname(), file.has_code());
    let _ = (file.program_header_eh_frame(), file.debug_link(), file.alt_link());
    answers += file.dynamic().count() + file.relative_words().count();
    for name in [".text", ".eh_frame", ".debug_info", ".debug_line", ".gnu_debugdata", ".gnu_debuglink", ""] {
        answers += usize::from(matches!(file.section(name), Ok(Some(_))));
    }
    let mut addresses = vec![0, 1, u64::MAX, file.entry().0];
    addresses.extend(
        file.segments().iter().flat_map(|segment| [segment.svma.0, segment.svma.0.wrapping_add(segment.mem_size)]),
    );
    for at in addresses.clone() {
        answers += usize::from(file.bytes_at(Svma(at), 8).is_some());
        let _ = file.bytes_at(Svma(at), u64::MAX);
    }
    let module = ModuleSymbols::new(Some(file.into()), None);
    for kind in [SymbolKind::Function, SymbolKind::Object, SymbolKind::ThreadLocal, SymbolKind::Other] {
        let symbols: Vec<_> = module.symbols(kind).take(64).collect();
        addresses
            .extend(symbols.iter().flat_map(|symbol| [symbol.svma.0, symbol.svma.0.wrapping_add(symbol.size / 2)]));
        answers += symbols.iter().filter_map(|symbol| module.lookup(&symbol.name)).count();
    }
    answers += module.symbols_starting_with("m").count();
    for at in addresses {
        answers += usize::from(module.function(Svma(at)).is_some()) + usize::from(module.object(Svma(at)).is_some());
        answers += module.frames(Svma(at)).len();
        answers += module.locals(Svma(at)).map_or(0, |locals| locals.variables.len());
        if let Some(part) = module.global_at(Svma(at)) {
            answers += usize::from(module.part_of(part.ty, 3).is_some());
        }
    }
    for name in ["Node", "S", "shop::Shard"] {
        let layout = module.type_named(name).and_then(|ty| module.type_layout(ty));
        if let Some(TypeKind::Structure { members, .. }) = layout.map(|layout| layout.kind) {
            answers += members.iter().filter_map(|member| module.type_layout(member.ty)).count();
        }
    }
    answers += module.sources().len();
    let took = processor_time() - started;
    assert!(took < Duration::from_secs(5), "took {took:?}");
    answers
}

/// What this thread has used so far: the machine may be busy with other tests.
fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}
