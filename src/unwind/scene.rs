//! A process written by hand, for the tests of this folder.

use std::sync::Arc;

use super::code::CodeMap;
use super::walk::Walk;
use crate::capture::{Access, Capture, Memory, Origin, Process, Region, Segment};
use crate::job::Job;
use crate::model::{Addr, Arch, End, Gap, Register, Registers, Trust, Why};
use crate::target::{Search, Target};
use symbols::FileBytes;

/// Where its code lies.
pub(super) const CODE: u64 = 0x1000;
/// Where its stack lies.
pub(super) const STACK: u64 = 0x7000;

/// A process without modules: code (or none of its bytes) at 0x1000, words of a stack at 0x7000.
pub(super) fn target(arch: Arch, code: Option<&[u8]>, stack: &[u64]) -> Arc<Target> {
    let words = stack.iter().flat_map(|word| word.to_le_bytes()).collect();
    let segment =
        |start, bytes| Segment { start: Addr(start), bytes: FileBytes::from_vec(bytes), origin: Origin::Dump };
    let mut segments = vec![segment(STACK, words)];
    segments.extend(code.map(|code| segment(CODE, code.to_vec())));
    let region = |start, execute: bool| Region {
        start: Addr(start),
        end: Addr(start + 0x1000),
        access: Access { read: true, write: !execute, execute },
        missing: Why::NotDumped,
    };
    let unknown = || Gap::NotRecorded("not of interest".to_owned());
    let process = Process {
        pid: Err(unknown()),
        parent: Err(unknown()),
        name: Err(unknown()),
        args: Err(unknown()),
        uid: Err(unknown()),
    };
    let capture = Capture {
        path: "core".into(),
        format: "written by hand",
        arch,
        memory: Memory::new(segments, vec![region(CODE, true), region(STACK, false)]),
        modules: Vec::new(),
        threads: Vec::new(),
        process,
        cause: Ok(None),
        files: None,
        assemblies: Vec::new(),
        facts: None,
        kept: Vec::new(),
        problems: Vec::new(),
        file_size: 0,
        announced: 0,
    };
    Arc::new(Target::open(Arc::new(capture), &Search::default(), &Job::default()).unwrap())
}

/// Frames (address, stack pointer, trust) and end of the stack from these registers.
pub(super) fn walk(target: &Arc<Target>, registers: &[(u16, u64)]) -> (Vec<(u64, u64, Trust)>, End) {
    let mut start = Registers::unknown(target.arch());
    for (number, value) in registers {
        start.set(Register(*number), *value);
    }
    let code = CodeMap::new(Arc::clone(target), Vec::new());
    let stack = Walk::new(&code).run(&start, &Job::default());
    (stack.frames.iter().map(|frame| (frame.pc.0, frame.sp.0, frame.trust)).collect(), stack.end)
}

/// `len` bytes of int3, with instructions at some offsets.
pub(super) fn code(len: usize, parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut code = vec![0xcc; len];
    for (at, bytes) in parts {
        code[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    code
}

/// `call *%rax`.
pub(super) const CALL_RAX: &[u8] = &[0xff, 0xd0];
