//! A stack: a module whose file is all in the dump (its unwind tables are hostile), a thread in it, a hostile stack.
#![no_main]

use std::sync::Arc;

use dumpscope::capture::{self, FORMATS, Opened};
use dumpscope::job::Job;
use dumpscope::target::{Search, Target};
use dumpscope::unwind::Unwinder;
use libfuzzer_sys::fuzz_target;
use support::core_writer::{CoreWriter, files, prstatus_aarch64, prstatus_x86_64};
use symbols::FileBytes;

const MODULE: u64 = 0x10_0000;
const STACK: u64 = 0x7000_0000;

fuzz_target!(|data: &[u8]| {
    let (registers, rest) = data.split_at(data.len().min(256));
    let (stack, module) = rest.split_at(rest.len().min(1024));
    let word = |index: usize| {
        registers.get(index * 8..index * 8 + 8).map_or(0, |word| u64::from_le_bytes(word.try_into().expect("8 bytes")))
    };
    let near = |index: usize, base: u64, len: usize| base + word(index) % (len as u64).max(1);
    let mut x86: [u64; 27] = std::array::from_fn(word);
    x86[16] = near(16, MODULE, module.len());
    x86[19] = near(19, STACK, stack.len());
    let mut arm: [u64; 34] = std::array::from_fn(word);
    arm[31] = near(31, STACK, stack.len());
    arm[32] = near(30, MODULE, module.len());
    let cores = [
        CoreWriter::x86_64().note("CORE", 1, &prstatus_x86_64(1, 11, &x86)),
        CoreWriter::aarch64().note("CORE", 1, &prstatus_aarch64(1, 11, &arm)),
    ];
    for core in cores {
        let core = core
            .note("CORE", 0x4649_4c45, &files(&[(MODULE, MODULE + 0x10_0000, 0, "/nonexistent/module")]))
            .load(MODULE, 5, module)
            .load(STACK, 6, stack);
        let job = Job::default();
        let capture =
            capture::open_bytes(FileBytes::from_vec(core.bytes()), "core".as_ref(), FORMATS, &job).and_then(Opened::process).expect("the core opens");
        let target = Arc::new(Target::open(Arc::new(capture), &Search::default(), &job).expect("nobody cancels"));
        let unwinder = Unwinder::new(Arc::clone(&target));
        for thread in &target.capture.threads {
            let walked = unwinder.walk(thread, &job);
            assert!(!walked.frames.is_empty(), "the thread's own registers are a frame");
        }
    }
});
