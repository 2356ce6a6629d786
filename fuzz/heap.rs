//! What the targets of allocators share: a core of a module's data and some memory, whose heap is walked.

use std::path::PathBuf;

use dumpscope::job::Job;
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use support::core_writer::{CoreWriter, files, module_page, prstatus_x86_64};
use symbols::FileBytes;

/// A core with a module, whose data holds a thread's own storage too.
pub fn core(module: &str, start: u64, data: &[u8], thread_pointer: u64) -> CoreWriter {
    let mut registers = [0; 27];
    registers[21] = thread_pointer;
    let size = (data.len() as u64).next_multiple_of(4096);
    let code = start - 0x1000;
    CoreWriter::x86_64()
        .note("CORE", 1, &prstatus_x86_64(1, 11, &registers))
        .note("CORE", 0x4649_4c45, &files(&[(code, start, 0, module), (start, start + size, 1, module)]))
        .load(code, 5, &module_page(&[(5, 0, 0, 0x1000), (6, 0x1000, 0x1000, size)], b"12345678"))
        .load_part(start, 6, data, size)
}

/// Walks the heap of a core, in which there can be so many blocks at most, checks it, names its blocks and follows what they
/// refer to.
pub fn walk(core: CoreWriter, most: usize) {
    let job = Job::default();
    let source = Source::Bytes(PathBuf::from("core"), FileBytes::from_vec(core.bytes()));
    let session = Session::open(source, &Search { alone: true, ..Search::default() }, &job).expect("the core opens");
    let Ok(heap) = session.heap(&job) else { return };
    let mut blocks = 0usize;
    for part in 0..heap.source.parts() {
        let count = &mut |_| {
            blocks += 1;
            Ok(())
        };
        heap.source.objects(part, &mut job.meter(), count).expect("nobody cancels");
    }
    assert!(blocks <= most, "{blocks} blocks");
    heap.source.arenas(&job).expect("nobody cancels");
    heap.source.verify(&job).expect("nobody cancels");
    heap.source.problems();
    // More blocks than ids, or a part that cannot be listed twice alike, is refused.
    let Ok(objects) = heap.objects(&job) else { return };
    let named = session.named_heap(&job).expect("blocks carry no names");
    assert_eq!(named.objects(&job).expect("nobody cancels").len(), objects.len());
    heap.dominators(&job).expect("native heaps tell references");
}

/// Words as the library would have set them up, some of them written over: each patch is the place of a word and six bytes;
/// zeros are none.
pub fn patch(words: &mut [u64], patches: &[u8]) {
    for patch in patches.chunks_exact(8).filter(|patch| patch.iter().any(|byte| *byte != 0)) {
        let place = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % words.len();
        words[place] = u64::from_le_bytes([patch[2], patch[3], patch[4], patch[5], patch[6], patch[7], 0, 0]);
    }
}

/// As memory holds them.
pub fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
