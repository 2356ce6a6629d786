//! Modules: which files were loaded where, from NT_FILE, the headers in memory, the auxiliary vector and the loader's
//! list.

use std::collections::HashMap;

use super::files::{FileMapping, Files};
use super::link_map::LinkEntry;
use super::mapped::ModuleHeader;
use super::process::{AT_BASE, AT_ENTRY, AT_EXECFN, AT_PHDR, AT_SYSINFO_EHDR, value};
use crate::capture::{Access, ImageKind, MappedModule, MappedPart, Memory, Region, Role};
use crate::model::{Addr, Arch, Gap, Why};

/// Longest path of an executable.
const MAX_PATH: u64 = 4096;

/// The modules, ascending by base, and every mapping of a file: gdb writes no segment for one that it leaves out.
pub(super) fn modules(
    files: Option<&Files>,
    links: &[LinkEntry],
    auxv: &[(u64, u64)],
    memory: &Memory,
    arch: Arch,
) -> (Vec<MappedModule>, Vec<Region>) {
    let loads = files.map(|files| with_copies(loads(&files.mappings, memory), memory)).unwrap_or_default();
    let regions = loads.iter().flat_map(Load::regions).collect();
    let mut modules: Vec<MappedModule> = loads.into_iter().filter_map(|load| load.module(memory)).collect();
    modules.extend(vdso(auxv, memory));
    if files.is_none() {
        modules.extend(executable(auxv, links, memory));
    }
    let sound = files.is_none_or(|files| files.sound);
    add_linked(&mut modules, links, memory, sound);
    name_loader(&mut modules, links, auxv, arch);
    modules.sort_by_key(|module| module.base);
    disjoint(&mut modules);
    mark_executable(&mut modules, auxv);
    (modules, regions)
}

/// One load of a file, while its mappings are collected.
struct Load<'a> {
    path: &'a str,
    parts: Vec<MappedPart>,
    /// Where parts of it are mapped again.
    copies: Vec<MappedPart>,
    header: Result<Option<ModuleHeader>, Gap>,
    bias: Option<u64>,
    /// One past the last address that the header announces.
    end: Option<Addr>,
}

/// Mappings of NT_FILE grouped into loads: a file that is loaded twice gives two.
fn loads<'a>(files: &'a [FileMapping], memory: &Memory) -> Vec<Load<'a>> {
    let mut loads: Vec<Load<'a>> = Vec::new();
    let mut current: HashMap<&str, usize> = HashMap::new();
    for file in files {
        let part = MappedPart { start: file.start, end: file.end, offset: file.offset };
        let open = current.get(file.path.as_str()).and_then(|index| loads.get_mut(*index));
        match open.filter(|load| load.takes(part)) {
            Some(load) => load.parts.push(part),
            None => {
                current.insert(&file.path, loads.len());
                loads.push(Load::new(&file.path, part, memory));
            }
        }
    }
    loads
}

/// Takes what begins inside of a file that is loaded as a whole, too, for a copy of a part of that: a program may map
/// its own file again.
fn with_copies<'a>(loads: Vec<Load<'a>>, memory: &Memory) -> Vec<Load<'a>> {
    let begins = |load: &Load<'_>| load.parts.first().is_some_and(|part| part.offset == 0);
    let (mut whole, parts): (Vec<Load<'_>>, Vec<Load<'_>>) = loads.into_iter().partition(begins);
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (index, load) in whole.iter().enumerate().filter(|(_, load)| load.is_module(memory)) {
        first.entry(load.path).or_insert(index);
    }
    let mut alone = Vec::new();
    for load in parts {
        match first.get(load.path).and_then(|index| whole.get_mut(*index)) {
            // Of a part that is mapped again as data nothing is asked.
            Some(whole) => whole.copies.extend(load.parts.iter().filter(|part| is_code(part, memory) != Some(false))),
            None => alone.push(load),
        }
    }
    whole.append(&mut alone);
    whole
}

/// Whether instructions may be executed there; `None` where the dump does not list the mapping. createdump lists the pages alone that it
/// holds.
fn is_code(part: &MappedPart, memory: &Memory) -> Option<bool> {
    let regions = memory.regions();
    let first = regions.partition_point(|region| region.end <= part.start);
    let within = regions.get(first..).unwrap_or_default().iter().take_while(|region| region.start < part.end);
    within.map(|region| region.access.execute).reduce(|one, other| one || other)
}

impl<'a> Load<'a> {
    fn new(path: &'a str, part: MappedPart, memory: &Memory) -> Load<'a> {
        let header = if part.offset == 0 {
            ModuleHeader::read(memory, part.start).map_err(Gap::Unreadable)
        } else {
            Err(Gap::NotRecorded("the start of the file is not mapped".to_owned()))
        };
        let known = header.as_ref().ok().and_then(Option::as_ref);
        let bias = known.and_then(|header| header.bias(part.start, part.offset));
        let end = known.and_then(ModuleHeader::extent).zip(bias).map(|((_, last), bias)| Addr(last.wrapping_add(bias)));
        let end = end.filter(|end| *end >= part.end);
        Load { path, parts: vec![part], copies: Vec::new(), header, bias, end }
    }

    /// Whether a later mapping of the same file belongs to this load.
    fn takes(&self, part: MappedPart) -> bool {
        match (self.end, self.parts.last()) {
            (Some(end), _) => part.start < end,
            // Without a header: segments are mapped in the order in which they lie in the file.
            (None, Some(last)) => part.offset > last.offset,
            (None, None) => true,
        }
    }

    /// The mappings with the access rights that the file's headers ask for; none where those are unknown.
    fn regions(&self) -> impl Iterator<Item = Region> {
        let header = self.header.as_ref().ok().and_then(Option::as_ref);
        let code = Access { read: true, write: false, execute: true };
        let copies = self.copies.iter().map(move |part| (part, code));
        let parts = self.parts.iter().map(move |part| {
            let flags =
                header.zip(self.bias).and_then(|(header, bias)| header.flags_at(part.start.0.wrapping_sub(bias)));
            // Source: gABI "Program Header": PF_X 1, PF_W 2, PF_R 4.
            let flag = |bit| flags.is_some_and(|flags| flags & bit != 0);
            (part, Access { read: flag(4), write: flag(2), execute: flag(1) })
        });
        parts.chain(copies).map(|(part, access)| Region {
            start: part.start,
            end: part.end,
            access,
            missing: Why::NotDumped,
        })
    }

    /// Whether it is loaded to be executed, and not mapped as data.
    fn is_module(&self, memory: &Memory) -> bool {
        let executable = |addr| memory.region_at(addr).map(|region| region.access.execute);
        match &self.header {
            Ok(None) => false,
            // A program may map an ELF file to read it: then its instructions are not executable.
            Ok(Some(header)) => match (header.code(), self.bias) {
                (Some(code), Some(bias)) => executable(Addr(code.wrapping_add(bias))) != Some(false),
                (None, Some(_)) => true,
                (_, None) => false,
            },
            Err(_) => is_file(self.path) && self.parts.iter().any(|part| is_code(part, memory) == Some(true)),
        }
    }

    /// The module; `None` for a file that is mapped as data.
    fn module(self, memory: &Memory) -> Option<MappedModule> {
        if !self.is_module(memory) {
            return None;
        }
        let (first, last) = (self.parts.first()?, self.parts.last()?);
        let build_id = match (self.header, self.bias) {
            (Ok(Some(header)), Some(bias)) => header.build_id(memory, bias),
            (Err(gap), _) => Err(gap),
            _ => Err(Gap::NotRecorded("no program headers".to_owned())),
        };
        Some(MappedModule {
            base: first.start,
            end: self.end.unwrap_or(last.end).max(last.end),
            bias: self.bias,
            path: Some(self.path.to_owned()),
            build_id,
            parts: self.parts.clone(),
            copies: self.copies,
            role: Role::Library,
            image: ImageKind::ELF,
        })
    }
}

/// Whether a path names a file that can be a module and not memory that the kernel gave a name (a JIT's double mapping,
/// shared memory).
fn is_file(path: &str) -> bool {
    // An assembly of .NET is no file of the loader's, and may have code all the same.
    path.starts_with('/')
        && !path.ends_with(".dll")
        && !["/memfd:", "/dev/", "/SYSV", "/[aio]"].iter().any(|prefix| path.starts_with(prefix))
}

/// The vDSO, whose pages are always in the dump.
fn vdso(auxv: &[(u64, u64)], memory: &Memory) -> Option<MappedModule> {
    let base = Addr(value(auxv, AT_SYSINFO_EHDR)?);
    let header = ModuleHeader::read(memory, base).ok()??;
    let bias = header.bias(base, 0)?;
    let (_, last) = header.extent()?;
    let mapped = memory.region_at(base).map(|region| region.end);
    let end = mapped.unwrap_or(Addr(last.wrapping_add(bias)));
    let parts = vec![MappedPart { start: base, end, offset: 0 }];
    Some(MappedModule {
        base,
        end,
        bias: Some(bias),
        path: None,
        build_id: header.build_id(memory, bias),
        parts,
        copies: Vec::new(),
        role: Role::Library,
        image: ImageKind::Vdso,
    })
}

/// The executable of a core without NT_FILE: the mapping that holds its program headers.
fn executable(auxv: &[(u64, u64)], links: &[LinkEntry], memory: &Memory) -> Option<MappedModule> {
    let at = Addr(value(auxv, AT_PHDR)?);
    let region = *memory.region_at(at)?;
    let path = value(auxv, AT_EXECFN).and_then(|at| memory.c_string(Addr(at), MAX_PATH).ok());
    let path = path.map(|path| String::from_utf8_lossy(&path).into_owned()).filter(|path| !path.is_empty());
    let bias = links.first().map(|link| link.bias);
    Some(mapped_at(region, path, bias, memory))
}

/// A module of which only its first mapping is known: it reaches as far as mappings adjoin.
fn mapped_at(first: Region, path: Option<String>, bias: Option<u64>, memory: &Memory) -> MappedModule {
    let header = ModuleHeader::read(memory, first.start);
    let known = header.as_ref().ok().and_then(Option::as_ref);
    let bias = known.and_then(|header| header.bias(first.start, 0)).or(bias);
    let stated = known.and_then(ModuleHeader::extent).zip(bias).map(|((_, last), bias)| Addr(last.wrapping_add(bias)));
    let build_id = match (&header, bias) {
        (Ok(Some(header)), Some(bias)) => header.build_id(memory, bias),
        (Err(why), _) => Err(Gap::Unreadable(*why)),
        _ => Err(Gap::NotRecorded("no program headers".to_owned())),
    };
    let end = stated.filter(|end| *end > first.start).unwrap_or_else(|| adjoining(first, memory));
    MappedModule {
        base: first.start,
        end,
        bias,
        path,
        build_id,
        parts: Vec::new(),
        copies: Vec::new(),
        role: Role::Library,
        image: ImageKind::ELF,
    }
}

/// The end of the run of mappings that begins with `first`.
fn adjoining(first: Region, memory: &Memory) -> Addr {
    let regions = memory.regions();
    let from = regions.partition_point(|region| region.start <= first.start);
    let mut end = first.end;
    for region in regions.get(from..).unwrap_or_default() {
        if region.start != end {
            break;
        }
        end = region.end;
    }
    end
}

/// Completes modules from the loader's list, and adds those that only the list knows. Paths of the list are what the
/// program asked for, often through links: those of NT_FILE are better where they are `sound`.
fn add_linked(modules: &mut Vec<MappedModule>, links: &[LinkEntry], memory: &Memory, sound: bool) {
    modules.sort_by_key(|module| module.base);
    let by_bias: HashMap<u64, usize> =
        modules.iter().enumerate().filter_map(|(index, module)| Some((module.bias?, index))).collect();
    let mut added = Vec::new();
    for link in links {
        let path = Some(link.name.clone()).filter(|name| !name.is_empty());
        let before = modules.partition_point(|module| module.base <= link.dynamic).checked_sub(1);
        let holds = before.filter(|index| modules.get(*index).is_some_and(|module| link.dynamic < module.end));
        match by_bias.get(&link.bias).copied().or(holds).and_then(|index| modules.get_mut(index)) {
            Some(module) => {
                module.bias.get_or_insert(link.bias);
                if !sound && path.is_some() && module.path.is_some() {
                    module.path = path;
                }
            }
            None => {
                let base = Addr(link.bias);
                let region = memory.region_at(base).filter(|region| region.start == base);
                added.extend(region.map(|region| mapped_at(*region, path, Some(link.bias), memory)));
            }
        }
    }
    modules.append(&mut added);
}

/// Names the loader of a core without NT_FILE. Its name in the list points into the executable's `.interp`, which such
/// a core leaves out; the psABIs fix the path for glibc. musl's loader is its libc, so that its programs list no other.
fn name_loader(modules: &mut [MappedModule], links: &[LinkEntry], auxv: &[(u64, u64)], arch: Arch) {
    let Some(base) = value(auxv, AT_BASE).filter(|base| *base != 0) else { return };
    let file = |link: &LinkEntry| link.name.rsplit('/').next().unwrap_or_default().to_owned();
    let glibc = links.iter().any(|link| file(link) == "libc.so.6");
    let musl = !links.is_empty() && !links.iter().any(|link| file(link).starts_with("libc."));
    let nameless = |module: &&mut MappedModule| {
        module.base == Addr(base) && module.path.is_none() && module.role == Role::Library && !module.is_vdso()
    };
    if let Some(loader) = modules.iter_mut().find(nameless) {
        // Source: System V AMD64 psABI 1.0 table 5.1; glibc sysdeps/unix/sysv/linux/aarch64/configure.ac; musl 1.2.3
        // Makefile, LDSO_PATHNAME.
        let path = match arch {
            Arch::X86_64 if glibc => "/lib64/ld-linux-x86-64.so.2",
            Arch::Aarch64 if glibc => "/lib/ld-linux-aarch64.so.1",
            Arch::X86_64 if musl => "/lib/ld-musl-x86_64.so.1",
            Arch::Aarch64 if musl => "/lib/ld-musl-aarch64.so.1",
            _ => return,
        };
        loader.path = Some(path.to_owned());
    }
}

/// Cuts each module where the next one begins.
fn disjoint(modules: &mut [MappedModule]) {
    for index in 1..modules.len() {
        if let Some([lower, upper]) = modules.get_mut(index.saturating_sub(1)..=index) {
            lower.end = lower.end.min(upper.base);
        }
    }
}

/// The module that holds the program headers that the kernel named, or the entry point; else the first.
fn mark_executable(modules: &mut [MappedModule], auxv: &[(u64, u64)]) {
    let holds = |key| {
        let at = Addr(value(auxv, key)?);
        modules.iter().position(|module| (module.base..module.end).contains(&at) && !module.is_vdso())
    };
    let index = holds(AT_PHDR).or_else(|| holds(AT_ENTRY)).unwrap_or(0);
    if let Some(module) = modules.get_mut(index).filter(|module| !module.is_vdso()) {
        module.role = Role::Executable;
    }
}
