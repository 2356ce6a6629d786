//! Where the runtime is: its module, its version, its descriptor, its global variables.
//!
//! Input: a target. Output: a [`Clr`]. Nothing but the dump is needed: `libcoreclr.so` exports `g_dacTable` and, since .NET 9, the
//! contract descriptor, and createdump keeps the names of both; where the names are lost, as in the kernel's cores, the descriptor
//! is found by its magic number.

use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::clr::{Clr, Described, major};
use super::code::Places;
use super::descriptor::{Descriptor, Exported, Layout, bundled};
use crate::capture::exports::Exports;
use crate::capture::{Memory, Role};
use crate::marks;
use crate::model::{Addr, Gap, Known, RuntimeKind};
use crate::target::{Module, Target};

/// The exported variables. Source: dotnet/runtime src/coreclr/dlls/mscoree/mscorwks_unixexports.src, exports.
const DESCRIPTOR: &str = "DotNetRuntimeContractDescriptor";
const DAC_TABLE: &str = "g_dacTable";
/// What a single-file host exports. Source: dotnet/runtime src/native/corehost/apphost/static.
const SINGLE_FILE: &str = "DotNetRuntimeInfo";
/// Most entries of the table of addresses that are looked at; .NET 9 has 158.
const MAX_TABLE: u64 = 256;
/// Bytes behind a module's last page in which its variables without initial values may lie.
const BEYOND: u64 = 4 << 20;
/// Writable data that is searched, in bytes, and the part that is looked at as one.
const MAX_DATA: u64 = 64 << 20;

/// The runtime of a target. `Ok(None)` where there is none.
pub(super) fn find(target: &Arc<Target>) -> Known<Option<Clr>> {
    let Some(module) = target.modules.iter().find(|module| is_runtime(module)) else { return Ok(None) };
    let memory = &target.memory;
    let symbol = |name: &str| {
        let named = module.symbols().lookup(name).and_then(|symbol| module.addr(symbol.svma));
        // Small dumps hold a few pages of the tables of names: those on the way to these.
        named.or_else(|| Exports::of(memory).address(&module.mapped, name))
    };
    let (full_version, commit) = told(target, module).unzip();
    let version = version(module, full_version.as_deref());
    let major = version.as_deref().and_then(major);
    let at = symbol(DESCRIPTOR).or_else(|| by_magic(target, module));
    let exported = at.map(|at| Exported::read(memory, at));
    let known = major.and_then(bundled);
    let (own, pointers) = match exported {
        Some(Ok(exported)) => (exported.descriptor.ok(), exported.pointers),
        _ => (None, Vec::new()),
    };
    let table = symbol(DAC_TABLE).or_else(|| by_pointers(target, module, known.as_ref()?, &pointers));
    let mut globals = FxHashMap::default();
    if let (Some(table), Some(bundled)) = (table, &known) {
        globals.extend(of_table(memory, table, bundled, major));
    }
    // Where the text is not in the dump, its pointers have no names.
    let named = own.iter().flat_map(|own| own.pointers());
    globals.extend(named.filter_map(|(name, index)| {
        let at = *pointers.get(usize::try_from(index).ok()?)?;
        Some((name.to_owned(), at))
    }));
    let described = match (&own, &known) {
        (Some(_), _) => Described::Own,
        (None, Some(_)) => Described::Bundled,
        (None, None) => {
            let name = version.as_deref().map_or(String::new(), |version| format!(" {version}"));
            let message =
                format!("structures of .NET{name}: the dump holds no description of them, nor does this program");
            return Err(Gap::NoLayout(message));
        }
    };
    if own.is_none() && globals.is_empty() {
        // Else it is one that is not at hand here.
        let at = table.unwrap_or(module.mapped.base);
        let why = memory.ptr(at).map_or_else(|why| why.to_string(), |_| format!("the table at {at} has none"));
        return Err(Gap::NotRecorded(format!("the places of the variables of .NET's runtime ({why})")));
    }
    let layout = Layout { own, bundled: known };
    let module = module.index;
    let clr = Clr {
        target: Arc::clone(target),
        layout,
        places: Places::default(),
        globals,
        module,
        version,
        full_version,
        commit,
        described,
    };
    match clr.thread_store() {
        Ok(_) => Ok(Some(clr)),
        // The library is there, and nobody has started it.
        Err(Gap::NotRecorded(_)) => Ok(None),
        Err(gap) => Err(gap),
    }
}

/// Whether a module is the runtime: the library, or a program that holds it.
fn is_runtime(module: &Module) -> bool {
    match module.mapped.role {
        Role::Library => {
            module.file_name().is_some_and(|name| marks::library(name.as_bytes()) == Some(RuntimeKind::Dotnet))
        }
        Role::Executable => {
            let exports = |name| module.symbols().lookup(name).is_some();
            exports(SINGLE_FILE) && exports(DAC_TABLE)
        }
    }
}

/// `9.0.22`, of the folder's name, else of what the runtime says of itself.
fn version(module: &Module, full: Option<&str>) -> Option<String> {
    let path = module.mapped.path.as_deref().map(Path::new);
    let of_path = path.and_then(marks::version::in_framework_path);
    of_path.or_else(|| marks::version::in_coreclr(format!("@(#)Version {}", full?).as_bytes()))
}

/// What the runtime says of itself: its version and its commit.
fn told(target: &Target, module: &Module) -> Option<(String, String)> {
    // Source: `strings libcoreclr.so` of 8.0.33, 9.0.22 and 10.0.14: `@(#)Version 9.0.2226.52218 @Commit: faaecba8…`.
    const MARK: &[u8] = b"@(#)Version ";
    const COMMIT: &[u8] = b" @Commit: ";
    let (_, bytes, from) = data(target, module)
        .find_map(|(start, bytes)| Some((start, bytes, memchr::memmem::find(bytes, MARK)?.checked_add(MARK.len())?)))?;
    let text = bytes.get(from..from.checked_add(128)?.min(bytes.len()))?;
    let version = marks::version::leading(text)?;
    let commit = text.get(memchr::memmem::find(text, COMMIT)?.checked_add(COMMIT.len())?..)?;
    let commit: Vec<u8> = commit.iter().copied().take(40).take_while(u8::is_ascii_hexdigit).collect();
    Some((version, String::from_utf8(commit).ok().filter(|commit| commit.len() == 40)?))
}

/// The module's data, part by part, with what follows its last page: variables without initial values.
fn data<'t>(target: &'t Target, module: &Module) -> impl Iterator<Item = (Addr, &'t [u8])> + use<'t> {
    let (base, end) = (module.mapped.base, module.mapped.end.plus(BEYOND).unwrap_or(module.mapped.end));
    let memory = &target.memory;
    let first = memory.segments().partition_point(|segment| segment.start < base);
    let mut left = MAX_DATA;
    memory.segments().get(first..).unwrap_or_default().iter().take_while(move |segment| segment.start < end).filter_map(
        move |segment| {
            let is_written = memory.region_at(segment.start).is_some_and(|region| !region.access.execute);
            let bytes = memory.slice_up_to(segment.start, if is_written { left } else { 0 }).ok()?;
            left = left.saturating_sub(bytes.len() as u64);
            Some((segment.start, bytes))
        },
    )
}

/// The contract descriptor in the module's data, by its magic number.
fn by_magic(target: &Target, module: &Module) -> Option<Addr> {
    data(target, module).find_map(|(start, bytes)| {
        let places = memchr::memmem::find_iter(bytes, b"DNCCDAC\0").take(64);
        places
            .filter_map(|place| start.plus(place as u64))
            .filter(|at| at.is_aligned(8))
            .find(|at| Exported::read(&target.memory, *at).is_ok_and(|found| !found.pointers.is_empty()))
    })
}

/// The table of addresses in the module's data, by three of them that follow each other in it as in the descriptor's own table of
/// pointers; what lies further on in both tells the two apart.
fn by_pointers(target: &Target, module: &Module, bundled: &Descriptor, pointers: &[Addr]) -> Option<Addr> {
    // Which pointers they are: dotnet/runtime src/coreclr/debug/runtimeinfo/datadescriptor.h of 9, its globals in their order (AppDomain,
    // ThreadStore, FinalizerThread, GCThread); in 10 SystemDomain stands behind AppDomain.
    let index = |name: &str| bundled.pointers().find(|(found, _)| *found == name).map(|(_, index)| u64::from(index));
    let (store, domain) = (index("ThreadStore")?, index("AppDomain")?);
    let domain_at = *pointers.get(1)?;
    let place = |window: &[Addr]| {
        let needle: Vec<u8> = window.iter().flat_map(|pointer| pointer.0.to_le_bytes()).collect();
        data(target, module).find_map(|(start, bytes)| {
            let places = memchr::memmem::find_iter(bytes, &needle).take(64);
            places.filter_map(|place| start.plus(place as u64)?.minus(store.checked_mul(8)?)).find(|table| {
                let at = domain.checked_mul(8).and_then(|offset| table.plus(offset));
                at.is_some_and(|at| target.memory.ptr(at) == Ok(domain_at))
            })
        })
    };
    pointers.get(2..)?.windows(3).take(2).find_map(place)
}

/// The global variables that the table of addresses tells.
fn of_table(memory: &Memory, table: Addr, bundled: &Descriptor, major: Option<u32>) -> Vec<(String, Addr)> {
    let address = |index: u32| {
        let index = u64::from(index);
        let slot = (index < MAX_TABLE).then(|| table.plus(index.checked_mul(8)?)).flatten()?;
        memory.ptr(slot).ok().filter(|address| address.0 != 0)
    };
    let mut all: Vec<(String, Addr)> =
        bundled.pointers().filter_map(|(name, index)| Some((name.to_owned(), address(index)?))).collect();
    // Releases of a major version differ in where these stand.
    let found = sync_table(memory, &address, if major >= Some(10) { BETWEEN_10 } else { BETWEEN });
    all.retain(|(name, _)| !found.iter().any(|(other, _)| other == name));
    all.extend(found);
    all
}

/// Bytes from the cache of SyncBlocks to the variable that points to it, in .NET 8 and 9.
// Source: measured on 8.0.0, 8.0.30, 8.0.33 and 9.0.22, where nothing else is so; dotnet/runtime src/coreclr/vm/syncblk.cpp,
// SyncBlockCache::s_pSyncBlockCache.
const BETWEEN: u64 = 0xe0;
/// The same in .NET 10; measured on 10.0.0 and 10.0.14.
const BETWEEN_10: u64 = 0x98;

/// The variables of the table of SyncBlocks among the others: the cache is a static object that lies so many bytes before the variable that
/// points to it, and the variable of the table's entries stands before that.
fn sync_table(memory: &Memory, address: &dyn Fn(u32) -> Option<Addr>, between: u64) -> Vec<(String, Addr)> {
    let is_cache = |index: &u32| {
        let variable = address(*index);
        variable.is_some_and(|variable| memory.ptr(variable).is_ok_and(|cache| Some(cache) == variable.minus(between)))
    };
    let mut found = (60..100).filter(is_cache);
    let (Some(index), None) = (found.next(), found.next()) else { return Vec::new() };
    let named = |name: &str, index| Some((name.to_owned(), address(index)?));
    [named("SyncBlockCache", index), named("SyncTableEntries", index.saturating_sub(1))].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found where the variable at `pointer`, of 60 to 99, points so many bytes before itself.
    fn found(pointers: &[(u32, u64)], between: u64) -> Vec<(String, Addr)> {
        let variable = |index: u32| 0x1000 + u64::from(index) * 0x100;
        let mut words = vec![0; 100 * 0x20];
        for (index, before) in pointers {
            words[usize::try_from(*index).unwrap() * 0x20] = variable(*index) - before;
        }
        let memory = Memory::of(0x1000, &words);
        sync_table(&memory, &|index| Some(Addr(variable(index))), between)
    }

    #[test]
    fn the_table_of_sync_blocks_is_found_by_where_its_cache_lies() {
        // .NET 8.0.33: 80 and 81; 8.0.0: 79 and 80. The cache lies 0xe0 bytes before the variable that points to it.
        let named = |name: &str, index: u64| (name.to_owned(), Addr(0x1000 + index * 0x100));
        assert_eq!(found(&[(81, 0xe0)], BETWEEN), [named("SyncBlockCache", 81), named("SyncTableEntries", 80)]);
        assert_eq!(
            found(&[(80, 0xe0), (70, 0xe8)], BETWEEN),
            [named("SyncBlockCache", 80), named("SyncTableEntries", 79)]
        );
        // .NET 10.0.0: 77 and 78; 10.0.14: 78 and 79. It lies 0x98 bytes before it.
        let of_10 = |pointer: u32| found(&[(pointer, 0x98), (81, 0xe0)], BETWEEN_10);
        assert_eq!(of_10(78), [named("SyncBlockCache", 78), named("SyncTableEntries", 77)]);
        assert_eq!(of_10(79), [named("SyncBlockCache", 79), named("SyncTableEntries", 78)]);
        assert!(found(&[(70, 0xe0), (81, 0xe0)], BETWEEN).is_empty(), "which of two it is cannot be told");
        assert!(found(&[], BETWEEN).is_empty());
    }
}
