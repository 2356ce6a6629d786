//! Where the function of a frame begins, where neither a symbol nor an unwind table tells: in a stripped program on musl.
//!
//! Input: a walked stack. Output: what its caller calls, or an address in the caller's memory (a thread's start routine is kept beside
//! its stack), if the code from there leads to where the frame stands and leaves the return address where the frame ends.

use crate::model::{Addr, Stack};
use crate::runtimes::native::callee;
use crate::target::Target;
use crate::unwind;

/// Words above a frame that are looked at. musl keeps a start routine within 300 bytes of the frame that calls it.
const MAX_WORDS: u64 = 128;
/// Addresses that are tried.
const MAX_TRIED: usize = 8;
/// A function's size, up to which one is believed.
const MAX_FUNCTION: u64 = 64 << 10;

/// The first instruction of the function of the frame at `index`; `None` where nothing tells.
pub(super) fn of(target: &Target, stack: &Stack, index: usize) -> Option<Addr> {
    let frame = stack.frames.get(index)?;
    let registers = stack.registers_at(index)?;
    let module = target.module_at(frame.lookup())?;
    let caller = stack.frames.get(index.checked_add(1)?).filter(|caller| caller.returns);
    let called = caller.and_then(|caller| callee::called_address(target.arch(), &target.memory, caller.pc));
    let above = frame.cfa.into_iter().flat_map(|base| (0..MAX_WORDS).map_while(move |word| base.plus(word * 8)));
    let words = above.map_while(|at| target.memory.ptr(at).ok());
    let candidates = called.map(|called| callee::landing(target, called)).into_iter().chain(words);
    let is_near = |start: &Addr| {
        *start >= module.mapped.base && frame.lookup().since(*start).is_some_and(|distance| distance < MAX_FUNCTION)
    };
    let mut candidates = candidates.filter(is_near).take(MAX_TRIED);
    candidates.find(|start| unwind::leads_to(&target.memory, *start, frame, &registers))
}
