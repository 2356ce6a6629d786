//! A fault inside the allocator: its own data was overwritten earlier.

use crate::model::Place;
use crate::model::frame::path;

use super::Rule;
use super::case::Case;
use super::crash::Crash;
use super::finding::{Finding, Next, Sentence};

pub(super) const RULE: Rule = Rule::new("smashed-heap", apply);

/// Functions of allocators that follow their own lists. Sources: glibc 2.36 malloc/malloc.c and malloc/arena.c; musl
/// 1.2.3 src/malloc/mallocng.
const ALLOCATORS: [&str; 24] = [
    "malloc",
    "free",
    "calloc",
    "realloc",
    "_int_malloc",
    "_int_free",
    "_int_realloc",
    "_int_memalign",
    "malloc_consolidate",
    "unlink_chunk",
    "tcache_get",
    "tcache_put",
    "__libc_malloc",
    "__libc_free",
    "__libc_calloc",
    "__libc_realloc",
    "sysmalloc",
    "systrim",
    "alloc_slot",
    "get_meta",
    "__libc_malloc_impl",
    "__libc_realloc_impl",
    "enframe",
    "nontrivial_free",
];
/// Innermost frames among which the allocator is looked for.
const FRAMES: usize = 3;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let crash = Crash::of(case).filter(|crash| crash.fault.freed.is_none())?;
    // The allocator was merely the last to be called on a full stack.
    if let Some(Place::StackGuard { .. }) = crash.place() {
        return None;
    }
    let innermost = crash.frames.first()?.function.as_deref().map(path)?;
    if !ALLOCATORS.contains(&innermost) {
        return None;
    }
    let inside = crash
        .frames
        .iter()
        .take(FRAMES)
        .take_while(|frame| frame.function.as_deref().is_some_and(|name| ALLOCATORS.contains(&path(name))));
    let caller = inside.count();
    let title = Sentence::of(crash.signal.name())
        .text(" inside the allocator")
        .then(case.place(crash.frames, caller))
        .text(": the heap was smashed earlier");
    let mut finding = crash.finding(RULE.name, false, title);
    finding.next = Some(Next::new(
        "stack",
        "where it was noticed; run the program under AddressSanitizer or valgrind to see who wrote past an object",
    ));
    Some(finding)
}
