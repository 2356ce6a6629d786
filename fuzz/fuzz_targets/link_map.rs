//! The loader's list and the headers of modules, in memory that the auxiliary vector points into.
#![no_main]

use dumpscope::capture::{self, FORMATS, Opened};
use dumpscope::job::Job;
use libfuzzer_sys::fuzz_target;
use support::core_writer::{CoreWriter, auxv, files, prstatus_x86_64};
use symbols::FileBytes;

fuzz_target!(|data: &[u8]| {
    const BASE: u64 = 0x10_0000;
    // AT_PHDR, AT_PHNUM, AT_BASE, AT_ENTRY, AT_EXECFN, AT_SYSINFO_EHDR.
    let vector = [(3, BASE + 64), (5, 8), (7, BASE + 0x1000), (9, BASE), (31, BASE + 0x100), (33, BASE + 0x2000)];
    let core = CoreWriter::x86_64().note("CORE", 1, &prstatus_x86_64(1, 11, &[0; 27])).note("CORE", 6, &auxv(&vector));
    let listed = core.clone().note(
        "CORE",
        0x4649_4c45,
        &files(&[
            (BASE, BASE + 0x1000, 0, "/bin/a"),
            (BASE + 0x1000, BASE + 0x2000, 1, "/bin/a"),
            (BASE + 0x2000, BASE + 0x3000, 0, "/bin/a"),
        ]),
    );
    for core in [core, listed] {
        let bytes = FileBytes::from_vec(core.load(BASE, 7, data).bytes());
        let capture = capture::open_bytes(bytes, "core".as_ref(), FORMATS, &Job::default()).and_then(Opened::process).expect("the core opens");
        assert!(capture.modules.windows(2).all(|pair| pair[0].base <= pair[1].base));
    }
});
