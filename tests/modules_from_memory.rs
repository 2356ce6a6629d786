//! Modules whose files are lost, rebuilt from a dump that holds all their pages.

use dumpscope::capture::{self, FORMATS, Opened, Role, image};
use dumpscope::job::Job;
use support::dump;
use symbols::{Elf, FileBytes, ModuleSymbols};

#[test]
fn a_library_rebuilt_from_its_pages_names_what_the_lost_file_exported() {
    let core = dump("deadlock", "glibc-filter-7f").core();
    let capture = capture::open(&core, FORMATS, &Job::default()).and_then(Opened::process).expect("the core opens");
    let libc = |path: &str| path.contains("/libc.so.6") || path.contains("/libc-2.");
    let mapped =
        capture.modules.iter().find(|module| module.path.as_deref().is_some_and(libc)).expect("libc is mapped");
    assert_eq!(mapped.role, Role::Library);
    let rebuilt = image::from_memory(mapped, &capture.memory, &mut image::Room::of(&capture.memory));
    let rebuilt = ModuleSymbols::new(rebuilt.elf, None);
    // Expected: the file that is mapped, which on the machine that made the dump is still there.
    let path = mapped.path.as_deref().expect("a path");
    let file = Elf::parse(FileBytes::open(path.as_ref()).expect("libc opens")).expect("libc is ELF");
    let file = ModuleSymbols::new(Some(file.into()), None);
    for name in ["pthread_mutex_lock", "pthread_create", "malloc", "abort", "__libc_start_main"] {
        let (ours, expected) = (rebuilt.lookup(name), file.lookup(name));
        assert!(expected.is_some(), "{name}");
        assert_eq!(ours, expected);
        let inside = expected.and_then(|symbol| symbol.svma.checked_add(symbol.size / 2)).expect("an address");
        assert_eq!(rebuilt.function(inside), file.function(inside), "{name}");
    }
}
