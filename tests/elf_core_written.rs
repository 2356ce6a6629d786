//! Cores laid by hand (support::core_writer): every note, every field, and what each kind of damage costs.

use std::io::Write;

use dumpscope::capture::{self, Capture, FORMATS, Role};
use dumpscope::error::Error;
use dumpscope::job::Job;
use dumpscope::model::{Addr, Arch, Gap, Known, Register, Tid, Why};
use support::core_writer::{
    CoreWriter, auxv, files, module_page, prpsinfo, prstatus_aarch64, prstatus_x86_64, siginfo_fault, siginfo_sent,
    words,
};
use symbols::{BuildId, FileBytes};

const NT_PRSTATUS: u32 = 1;
const NT_PRFPREG: u32 = 2;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_SIGINFO: u32 = 0x5349_4749;
const NT_FILE: u32 = 0x4649_4c45;
const NT_ARM_TLS: u32 = 0x401;
const READ: u32 = 4;
const READ_WRITE: u32 = 6;
const READ_EXECUTE: u32 = 5;

fn open(bytes: Vec<u8>) -> Result<Capture, Error> {
    capture::open_bytes(FileBytes::from_vec(bytes), "core.4711".as_ref(), FORMATS, &Job::default())?.process()
}

fn opened(bytes: Vec<u8>) -> Capture {
    open(bytes).expect("the core opens")
}

fn refusal(bytes: Vec<u8>) -> String {
    open(bytes).expect_err("the file is refused").to_string()
}

/// Registers of x86-64 in the note's order: the word at index i holds 0x1000 + i; orig_rax as given.
fn registers(orig_rax: u64) -> [u64; 27] {
    let mut registers = std::array::from_fn(|index| 0x1000 + index as u64);
    registers[15] = orig_rax;
    registers
}

const NO_CALL: u64 = u64::MAX;

/// As the kernel writes it: thread 4712 took SIGSEGV, 4711 and 4713 wait in futex (202).
fn kernel_core() -> CoreWriter {
    CoreWriter::x86_64()
        .note("CORE", NT_PRSTATUS, &prstatus_x86_64(4712, 11, &registers(NO_CALL)))
        .note("CORE", NT_PRPSINFO, &prpsinfo(4711, 1000, "orders", "orders --port 80 "))
        .note("CORE", NT_SIGINFO, &siginfo_fault(11, 1, 0x10))
        .note("CORE", NT_AUXV, &auxv(&[(6, 4096), (9, 0x40_1000)]))
        .note(
            "CORE",
            NT_FILE,
            &files(&[(0x40_0000, 0x40_1000, 0, "/bin/orders"), (0x40_1000, 0x40_2000, 1, "/bin/orders")]),
        )
        .note("CORE", NT_PRFPREG, &[0; 512])
        .note("CORE", NT_PRSTATUS, &prstatus_x86_64(4711, 11, &registers(202)))
        .note("CORE", NT_PRFPREG, &[0; 512])
        .note("CORE", NT_PRSTATUS, &prstatus_x86_64(4713, 11, &registers(202)))
        .note("CORE", NT_PRFPREG, &[0; 512])
        .load_part(
            0x40_0000,
            READ,
            &module_page(&[(READ, 0, 0x40_0000, 0x1000), (READ_EXECUTE, 0x1000, 0x40_1000, 0x1000)], b"\xab\xcd"),
            0x1000,
        )
        .load_part(0x40_1000, READ_EXECUTE, &[], 0x1000)
        .load(0x7000_0000, READ_WRITE, &[0x5a; 0x1000])
}

fn tids(capture: &Capture) -> Vec<u32> {
    capture.threads.iter().map(|thread| thread.tid.0).collect()
}

fn codes(capture: &Capture) -> Vec<&'static str> {
    let mut codes: Vec<_> = capture.problems.iter().map(|problem| problem.code).collect();
    codes.dedup();
    codes
}

/// As createdump writes it.
#[test]
fn a_command_line_without_a_word_is_not_recorded() {
    let core = CoreWriter::x86_64().note("CORE", NT_PRPSINFO, &prpsinfo(4711, 1000, "dotnet", " "));
    let process = opened(core.load(0x7000_0000, READ_WRITE, &[0x5a; 0x1000]).bytes()).process;
    assert_eq!((process.name.as_deref(), process.pid), (Ok("dotnet"), Ok(4711)));
    assert_eq!(process.args, Err(Gap::NotRecorded("the command line".to_owned())));
}

#[test]
fn a_kernel_core_gives_threads_process_signal_and_modules() {
    let capture = opened(kernel_core().bytes());
    assert_eq!(capture.problems, []);
    assert_eq!(capture.format, "ELF core from the Linux kernel");
    assert_eq!(capture.arch, Arch::X86_64);
    assert_eq!(tids(&capture), [4712, 4711, 4713]);
    assert_eq!(capture.process.pid, Ok(4711));
    assert_eq!(capture.process.uid, Ok(1000));
    assert_eq!(capture.process.name.as_deref(), Ok("orders"));
    assert_eq!(capture.process.args.as_deref(), Ok("orders --port 80"));
    let signal = capture.signal().cloned().expect("fatal");
    assert_eq!((signal.tid, signal.number, signal.code), (Tid(4712), 11, Some(1)));
    assert_eq!((signal.address, signal.sender_pid), (Some(Addr(0x10)), None));
    let [module] = &capture.modules[..] else { panic!("one module: {:?}", capture.modules) };
    assert_eq!((module.base, module.end, module.bias), (Addr(0x40_0000), Addr(0x40_2000), Some(0)));
    assert_eq!(module.role, Role::Executable);
    assert_eq!(module.build_id, Ok(BuildId::from_hex("abcd")));
    assert_eq!(capture.memory.u8(Addr(0x7000_0fff)), Ok(0x5a));
    assert_eq!(capture.memory.u8(Addr(0x40_1000)).map_err(|gap| gap.why), Err(Why::NotDumped));
}

#[test]
fn registers_of_x86_64_are_numbered_as_dwarf_numbers_them() {
    let capture = opened(kernel_core().bytes());
    let found = capture.threads[1].registers.as_ref().expect("registers");
    // Index in user_regs_struct of rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip (DWARF 0 to 16).
    let order = [10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16];
    for (number, index) in order.into_iter().enumerate() {
        let register = Register(u16::try_from(number).unwrap());
        assert_eq!(found.get(register), Some(0x1000 + index), "DWARF register {number}");
    }
    assert_eq!(capture.threads[1].thread_pointer, Ok(Addr(0x1000 + 21)), "fs_base");
    let call = capture.threads[1].syscall.expect("in futex");
    // rdi rsi rdx r10 r8 r9; result in rax.
    assert_eq!((call.number, call.result), (202, 0x1000 + 10));
    assert_eq!(call.args, [14, 13, 12, 7, 9, 8].map(|index| Some(0x1000 + index)));
    assert_eq!(capture.threads[0].syscall, None, "orig_rax is -1 outside of a call");
}

#[test]
fn an_aarch64_core_gives_registers_thread_pointer_and_call() {
    let mut values: [u64; 34] = std::array::from_fn(|index| 0x2000 + index as u64);
    values[32] = 0x50_0008;
    let in_call = values;
    values[32] = 0x50_0010;
    // movz x8, #98; svc #0; ret: Arm Architecture Reference Manual.
    let code: Vec<u8> =
        [0xd280_0c48_u32, 0xd400_0001, 0xd65f_03c0].iter().flat_map(|word| word.to_le_bytes()).collect();
    let capture = opened(
        CoreWriter::aarch64()
            .note("CORE", NT_PRSTATUS, &prstatus_aarch64(1, 6, &in_call))
            .note("CORE", NT_PRPSINFO, &prpsinfo(1, 0, "orders", "orders "))
            .note("CORE", NT_SIGINFO, &siginfo_sent(6, -6, 77, 1000))
            .note("CORE", NT_FILE, &files(&[(0x40_0000, 0x40_1000, 0, "/bin/orders")]))
            .note("LINUX", NT_ARM_TLS, &words(&[0xcafe_0000]))
            .note("CORE", NT_PRSTATUS, &prstatus_aarch64(2, 6, &values))
            .load(0x50_0000, READ_EXECUTE, &code)
            .bytes(),
    );
    assert_eq!(capture.arch, Arch::Aarch64);
    let [first, second] = &capture.threads[..] else { panic!("two threads") };
    let registers = first.registers.as_ref().expect("registers");
    for number in 0..32 {
        assert_eq!(registers.get(Register(number)), Some(0x2000 + u64::from(number)), "x{number}, sp");
    }
    assert_eq!(registers.pc(), Some(Addr(0x50_0008)));
    assert_eq!(first.thread_pointer, Ok(Addr(0xcafe_0000)));
    assert!(second.thread_pointer.is_err(), "the second thread has no NT_ARM_TLS");
    let call = first.syscall.expect("the pc follows svc #0");
    assert_eq!((call.number, call.result), (0x2008, 0x2000));
    assert_eq!(call.args, [None, Some(0x2001), Some(0x2002), Some(0x2003), Some(0x2004), Some(0x2005)]);
    assert_eq!(second.syscall, None, "the instruction before the pc is no svc");
    let signal = capture.signal().cloned().expect("fatal");
    assert_eq!((signal.number, signal.sender_pid, signal.sender_uid, signal.address), (6, Some(77), Some(1000), None));
}

#[test]
fn a_fault_without_an_address_has_none() {
    // SI_KERNEL (0x80): a non-canonical address, which the kernel does not report.
    let capture = opened(
        CoreWriter::x86_64()
            .note("CORE", NT_PRSTATUS, &prstatus_x86_64(1, 11, &registers(NO_CALL)))
            .note("CORE", NT_SIGINFO, &siginfo_fault(11, 0x80, 0))
            .bytes(),
    );
    let signal = capture.signal().cloned().expect("fatal");
    assert_eq!((signal.code, signal.address, signal.sender_pid), (Some(0x80), None, None));
}

#[test]
fn the_thread_that_took_the_signal_comes_first_wherever_it_stands() {
    // createdump and qemu write the signal into the crashed thread only.
    let thread = |tid, signal| prstatus_x86_64(tid, signal, &registers(NO_CALL));
    let core = CoreWriter::x86_64()
        .note("CORE", NT_PRPSINFO, &prpsinfo(1, 0, "dotnet", ""))
        .note("CORE", NT_PRSTATUS, &thread(1, 0))
        .note("CORE", NT_PRSTATUS, &thread(2, 0))
        .note("CORE", NT_PRSTATUS, &thread(3, 6))
        .note("CORE", NT_PRSTATUS, &thread(4, 0));
    let capture = opened(core.bytes());
    assert_eq!(tids(&capture), [3, 1, 2, 4]);
    let crashed: Vec<bool> = capture.threads.iter().map(|thread| thread.crashed).collect();
    assert_eq!(crashed, [true, false, false, false]);
}

#[test]
fn a_process_that_went_on_has_no_fatal_signal() {
    // gdb's gcore of a running process: pr_cursig 0, and a SIGSTOP (19) in each thread's siginfo.
    let thread = |tid| prstatus_x86_64(tid, 0, &registers(NO_CALL));
    let core = CoreWriter::x86_64()
        .note("CORE", NT_PRPSINFO, &prpsinfo(1, 0, "orders", ""))
        .note("CORE", NT_PRSTATUS, &thread(1))
        .note("CORE", NT_SIGINFO, &siginfo_sent(19, 0, 0, 0))
        .note("CORE", NT_PRSTATUS, &thread(2))
        .note("CORE", NT_SIGINFO, &siginfo_sent(19, 0, 0, 0))
        .note("GDB", 0xff00_0000, b"<target/>");
    let capture = opened(core.bytes());
    assert_eq!(capture.format, "ELF core from gdb");
    assert_eq!(capture.cause, Ok(None));
    assert_eq!(tids(&capture), [1, 2]);
}

#[test]
fn a_file_that_is_loaded_twice_gives_two_modules_and_data_gives_none() {
    let library =
        |bias: u64| module_page(&[(READ, 0, 0, 0x1000), (READ_EXECUTE, 0x1000, 0x1000, 0x800)], &bias.to_le_bytes());
    let core = CoreWriter::x86_64()
        .note("CORE", NT_PRSTATUS, &prstatus_x86_64(1, 0, &registers(NO_CALL)))
        .note(
            "CORE",
            NT_FILE,
            &files(&[
                (0x10_0000, 0x10_1000, 0, "/lib/twice.so (deleted)"),
                (0x10_1000, 0x10_2000, 1, "/lib/twice.so (deleted)"),
                (0x20_0000, 0x20_1000, 0, "/lib/twice.so (deleted)"),
                (0x20_1000, 0x20_2000, 1, "/lib/twice.so (deleted)"),
                (0x30_0000, 0x30_1000, 0, "/usr/lib/locale/locale-archive"),
                (0x40_0000, 0x40_2000, 0, "/lib/read-as-data.so"),
                (0x50_0000, 0x50_1000, 0, "/memfd:doublemapper (deleted)"),
                (0x60_0000, 0x60_1000, 0, "/lib/header-not-dumped.so"),
                (0x60_1000, 0x60_2000, 1, "/lib/header-not-dumped.so"),
            ]),
        )
        .load(0x10_0000, READ, &library(1))
        .load_part(0x10_1000, READ_EXECUTE, &[], 0x1000)
        .load(0x20_0000, READ, &library(2))
        .load_part(0x20_1000, READ_EXECUTE, &[], 0x1000)
        .load(0x30_0000, READ, &[0xde; 0x1000])
        .load(0x40_0000, READ, &[library(3), vec![0; 0x1000]].concat())
        .load_part(0x50_0000, READ_EXECUTE, &[], 0x1000)
        .load_part(0x60_0000, READ, &[], 0x1000)
        .load_part(0x60_1000, READ_EXECUTE, &[], 0x1000);
    let capture = opened(core.bytes());
    let found: Vec<_> = capture.modules.iter().map(|module| (module.base.0, module.end.0, module.bias)).collect();
    assert_eq!(
        found,
        [
            (0x10_0000, 0x10_2000, Some(0x10_0000)),
            (0x20_0000, 0x20_2000, Some(0x20_0000)),
            (0x60_0000, 0x60_2000, None)
        ]
    );
    assert_eq!(capture.modules[0].path.as_deref(), Some("/lib/twice.so (deleted)"));
    let id = |known: &Known<Option<BuildId>>| known.clone().ok().flatten().map(|id| id.to_string());
    assert_eq!(id(&capture.modules[1].build_id).as_deref(), Some("0200000000000000"));
    assert!(capture.modules[2].build_id.is_err(), "its first page is not in the dump");
}

#[test]
fn program_headers_may_be_counted_in_section_0() {
    let capture = opened(kernel_core().counted_in_section().bytes());
    assert_eq!(capture.problems, []);
    assert_eq!(tids(&capture), [4712, 4711, 4713]);
}

#[test]
fn of_overlapping_segments_the_one_in_order_is_used() {
    let core = CoreWriter::x86_64()
        .note("CORE", NT_PRSTATUS, &prstatus_x86_64(1, 0, &registers(NO_CALL)))
        .load(0x10_0000, READ_WRITE, &[1; 0x1000])
        .load(0x20_0000, READ_WRITE, &[2; 0x1000])
        .load(0x0f_f000, READ_WRITE, &[3; 0x3000]);
    let capture = opened(core.bytes());
    let byte = |addr| capture.memory.u8(Addr(addr)).ok();
    assert_eq!(
        [byte(0x0f_f000), byte(0x10_0000), byte(0x10_1000), byte(0x20_0000)],
        [Some(3), Some(1), Some(3), Some(2)]
    );
    assert_eq!(codes(&capture), ["segments-overlap"]);
}

/// The ELF header of a core of another class (1: 32 bits) or byte order (2: big endian): gABI, "ELF Header".
fn other_header(class: u8, order: u8) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order, 1]);
    let half = |value: u16| if order == 1 { value.to_le_bytes() } else { value.to_be_bytes() };
    // e_type; then e_ehsize, e_phentsize and e_phnum, which stand at 40 in the short header and at 52 in the long one.
    bytes[16..18].copy_from_slice(&half(4));
    let (at, sizes) = if class == 1 { (40, [52, 32, 1]) } else { (52, [64, 56, 1]) };
    for (index, size) in sizes.into_iter().enumerate() {
        bytes[at + 2 * index..at + 2 * index + 2].copy_from_slice(&half(size));
    }
    bytes
}

#[test]
fn a_damaged_identification_is_read_as_the_rest_tells() {
    let core = kernel_core();
    // EI_CLASS, EI_DATA; e_type, e_machine.
    for (at, value) in [(4, 1), (4, 0x99), (5, 2), (5, 0), (16, 0x77), (17, 0x80), (18, 0), (19, 0xff)] {
        let capture = opened(damaged(&core, at, 1, value));
        assert_eq!(tids(&capture), [4712, 4711, 4713], "{value:#x} at {at}");
        assert_eq!((capture.arch, codes(&capture)), (Arch::X86_64, vec!["header-damaged"]), "{value:#x} at {at}");
    }
}

#[test]
fn a_program_header_is_mended_by_its_neighbours() {
    // Five segments of two pages each, laid one after the other; the last is the main stack with the executable's path at its top.
    let path = b"/bin/orders";
    let mut stack = vec![0x11; 0x2000];
    let top = 0x7ffe_0000_2000u64;
    let at = 0x2000 - 9 - path.len();
    stack[at - 1] = 0;
    stack[at..at + path.len()].copy_from_slice(path);
    stack[0x2000 - 9..].fill(0);
    let execfn = top - 9 - path.len() as u64;
    let mut core = CoreWriter::x86_64()
        .note("CORE", NT_PRSTATUS, &prstatus_x86_64(1, 6, &registers(NO_CALL)))
        .note("CORE", NT_AUXV, &auxv(&[(31, execfn)]))
        .note(
            "CORE",
            NT_FILE,
            &files(&[(0x30_0000, 0x30_2000, 0, "/lib/a.so"), (0x40_0000, 0x40_4000, 0, "/lib/b.so")]),
        );
    for number in 1..=4u8 {
        core = core.load(u64::from(number) << 20, READ_WRITE, &[number; 0x2000]);
    }
    let core = core.load(0x7ffe_0000_0000, READ_WRITE, &stack);
    // Program header of the third segment, 0x30_0000: p_type 0, p_offset 8, p_vaddr 16, p_filesz 32, p_memsz 40; the stack's is two further.
    let third = 64 + 56 * 3;
    let last = third + 56 * 2;
    let damages = [
        (third, 4, 0x1234),
        (third + 8, 8, 0),
        (third + 8, 8, 1 << 40),
        (third + 16, 8, 0),
        (third + 16, 8, 0x1234_5678),
        (third + 16, 8, u64::MAX),
        (third + 32, 8, 0),
        (third + 32, 8, u64::MAX),
        (third + 40, 8, 0x10),
        (third + 40, 8, 1 << 46),
        (last + 4, 4, 1),
        (last + 8, 8, 0),
        (last + 16, 8, 0x7000),
        (last + 32, 8, 0),
        (last + 40, 8, 0),
    ];
    assert_eq!(opened(core.bytes()).problems, []);
    for (at, size, value) in damages {
        let capture = opened(damaged(&core, at, size, value));
        let what = format!("{value:#x} at {at:#x}");
        assert!(codes(&capture).contains(&"program-headers"), "{what}: the repair is told");
        for (address, byte) in
            [(0x10_1fff, 1), (0x20_0000, 2), (0x30_0000, 3), (0x30_1fff, 3), (0x40_1fff, 4), (0x7ffe_0000_0000, 0x11)]
        {
            assert_eq!(capture.memory.u8(Addr(address)), Ok(byte), "{address:#x}: {what}");
        }
        let text = capture.memory.c_string(Addr(execfn), 64);
        assert_eq!(text.as_deref(), Ok(&path[..]), "{what}");
        let access = capture.memory.region_at(Addr(0x7ffe_0000_1000)).map(|region| region.access);
        assert!(access.is_some_and(|access| access.read && access.write), "{what}");
    }
}

#[test]
fn what_is_no_core_of_ours_is_refused_with_what_was_expected() {
    let core = kernel_core().bytes();
    let with = |at: usize, value: u8| {
        let mut bytes = core.clone();
        bytes[at] = value;
        refusal(bytes)
    };
    assert!(refusal(Vec::new()).contains("empty"));
    assert!(refusal(b"#!/bin/sh\necho no core\n".to_vec()).contains("text file"));
    assert!(refusal(vec![0; 4096]).contains("zeros"));
    assert!(refusal(core[..20].to_vec()).contains("truncated"));
    assert!(refusal(other_header(1, 1)).contains("32-bit"));
    assert!(refusal(other_header(2, 2)).contains("big-endian"));
    for (kind, word) in [(2, "executable"), (3, "shared library"), (1, "object file")] {
        let reason = with(16, kind);
        assert!(reason.contains(word) && reason.contains("--exe"), "e_type {kind}: {reason}");
    }
    // EM_RISCV is 243, and its NT_PRSTATUS, with 32 registers, has 376 bytes.
    let riscv = CoreWriter::x86_64().note("CORE", NT_PRSTATUS, &[0; 376]);
    let reason = refusal(damaged(&riscv, 18, 2, 243));
    assert!(reason.contains("0x12") && reason.contains("e_machine 243") && reason.contains("core.4711"), "{reason}");
}

/// `core` with a little-endian number of `size` bytes put at `at`.
fn damaged(core: &CoreWriter, at: usize, size: usize, value: u64) -> Vec<u8> {
    let mut bytes = core.bytes();
    bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    bytes
}

#[test]
fn a_damaged_table_of_program_headers_is_found_again() {
    let core = kernel_core();
    // e_phoff, e_phentsize, e_phnum; then of the PT_NOTE at 64: type, offset, size in the file.
    let damages = [
        (32, 8, 0),
        (32, 8, 1 << 40),
        (32, 8, 72),
        (54, 2, 0),
        (54, 2, 64),
        (54, 2, 0xffff),
        (56, 2, 0),
        (56, 2, 2),
        (56, 2, 200),
        (56, 2, 0xffff),
        (64, 4, 0x77),
        (72, 8, 0),
        (72, 8, 1 << 40),
        (72, 8, 0x1000),
        (96, 8, 0),
        (96, 8, 12),
        (96, 8, 1 << 40),
        (96, 8, u64::MAX),
    ];
    for (at, size, value) in damages {
        let capture = opened(damaged(&core, at, size, value));
        let what = format!("{value:#x} at {at:#x}");
        assert_eq!(tids(&capture), [4712, 4711, 4713], "{what}");
        assert_eq!(capture.memory.u8(Addr(0x7000_0000)), Ok(0x5a), "{what}");
        assert_eq!(capture.modules.len(), 1, "{what}");
        assert!(!capture.problems.is_empty(), "{what}: the repair is told");
    }
}

#[test]
fn a_damaged_note_costs_that_note_only() {
    let core = kernel_core();
    let bytes = core.bytes();
    // The second note, NT_PRPSINFO, stands behind the first: 12 bytes of header, 8 of name, 336 of content.
    let notes = 64 + 56 * 4;
    let second = notes + 12 + 8 + 336;
    assert_eq!(bytes[second + 8], 3, "NT_PRPSINFO");
    for (at, value) in [(0, 0u32), (0, u32::MAX), (0, 1 << 20), (4, u32::MAX), (4, 1 << 28), (4, 7), (4, 400), (8, 99)]
    {
        let capture = opened(damaged(&core, second + at, 4, value.into()));
        let what = format!("{value:#x} at {at} of the note");
        assert_eq!(tids(&capture), [4712, 4711, 4713], "{what}");
        assert_eq!(
            capture.cause.as_ref().map(|_| capture.signal().and_then(|signal| signal.address)),
            Ok(Some(Addr(0x10))),
            "{what}"
        );
    }
}

#[test]
fn a_threads_note_is_known_by_its_size_when_its_type_or_name_is_damaged() {
    let core = kernel_core();
    let notes = 64 + 56 * 4;
    for at in [notes + 8, notes + 12] {
        let capture = opened(damaged(&core, at, 1, 0x41));
        assert_eq!(tids(&capture), [4712, 4711, 4713], "byte {at:#x}");
    }
}

#[test]
fn each_byte_of_the_headers_may_be_wrong() {
    let bytes = kernel_core().bytes();
    for at in 0..64 + 56 * 4 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            // Refused or opened, never a panic; and what is opened has its threads.
            if let Ok(capture) = open(bytes) {
                assert_eq!(tids(&capture), [4712, 4711, 4713], "byte {at:#x} = {value:#x}");
            }
        }
    }
}

#[test]
fn a_core_that_is_cut_anywhere_opens_as_far_as_it_goes() {
    let bytes = kernel_core().bytes();
    // One past each thread's note.
    let notes = 64 + 56 * 4;
    let status = 12 + 8 + 336;
    let first = notes + status;
    let second = bytes[first..].windows(4).position(|word| word == 4711u32.to_le_bytes()).unwrap();
    assert!(second > 0);
    let mut most = 0;
    for length in 0..bytes.len() {
        let Ok(capture) = open(bytes[..length].to_vec()) else {
            assert!(length < 64 + 56, "a file with one program header opens: {length:#x}");
            continue;
        };
        assert!(!capture.problems.is_empty(), "cut at {length:#x}: the cut is told");
        if length >= first {
            assert_eq!(capture.threads.first().map(|thread| thread.tid), Some(Tid(4712)), "cut at {length:#x}");
            assert!(capture.threads[0].registers.is_ok(), "cut at {length:#x}");
        }
        assert!(capture.threads.len() >= most, "cut at {length:#x}: a longer file has no fewer threads");
        most = capture.threads.len();
        let why = capture.memory.u8(Addr(0x7000_0fff)).map_err(|gap| gap.why);
        assert!(why.is_err() && why != Err(Why::NotDumped), "cut at {length:#x}: {why:?}");
    }
    assert_eq!(most, 3);
}

#[test]
fn a_truncated_core_says_how_much_of_it_is_there() {
    let bytes = kernel_core().bytes();
    let half = bytes.len() - 0x800;
    let capture = opened(bytes[..half].to_vec());
    assert_eq!(codes(&capture), ["truncated"]);
    // Two pages were dumped, one and a half are there.
    let expected = format!("file ends at {half:#x}, the program headers announce {:#x}; 75 %", bytes.len());
    assert!(capture.problems[0].message.contains(&expected), "{}", capture.problems[0]);
    assert_eq!(capture.memory.u8(Addr(0x7000_07ff)), Ok(0x5a));
    assert_eq!(capture.memory.u8(Addr(0x7000_0800)).map_err(|gap| gap.why), Err(Why::Truncated));
}

#[test]
fn a_hundred_thousand_threads_are_the_limit() {
    let status = prstatus_x86_64(1, 0, &registers(NO_CALL));
    let mut core = CoreWriter::x86_64();
    for _ in 0..100_010 {
        core = core.note("CORE", NT_PRSTATUS, &status);
    }
    let capture = opened(core.bytes());
    assert_eq!(capture.threads.len(), 100_000);
    assert_eq!(codes(&capture), ["limit"]);
}

#[test]
fn a_dump_inside_gzip_is_the_dump() {
    let plain = kernel_core().bytes();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    let compressed = encoder.finish().unwrap();
    let capture = opened(compressed.clone());
    assert_eq!(capture.problems, []);
    assert_eq!(tids(&capture), [4712, 4711, 4713]);
    assert_eq!(capture.memory.u8(Addr(0x7000_0fff)), Ok(0x5a));
    for length in 0..compressed.len() {
        if let Ok(capture) = open(compressed[..length].to_vec()) {
            assert!(codes(&capture).contains(&"truncated"), "cut at {length}");
        }
    }
}

#[test]
fn a_dump_inside_zstd_frames_is_the_dump() {
    // RFC 8878: a skippable frame, then frames of one raw block each: magic, descriptor 0xa0 (single segment, 4-byte size), size,
    // block header (last, raw, size << 3).
    let plain = kernel_core().bytes();
    let (head, tail) = plain.split_at(plain.len() / 2);
    let frame = |bytes: &[u8]| {
        let size = u32::try_from(bytes.len()).unwrap();
        [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &size.to_le_bytes(), &((size << 3) | 1).to_le_bytes()[..3], bytes]
            .concat()
    };
    let skippable = [&[0x53, 0x2a, 0x4d, 0x18][..], &3u32.to_le_bytes(), b"abc"].concat();
    let compressed = [skippable, frame(head), frame(tail)].concat();
    let capture = opened(compressed.clone());
    assert_eq!(capture.problems, []);
    assert_eq!(tids(&capture), [4712, 4711, 4713]);
    let cut = opened(compressed[..compressed.len() - 10].to_vec());
    assert!(codes(&cut).contains(&"truncated"));
    assert_eq!(tids(&cut), [4712, 4711, 4713]);
}

#[test]
fn a_compressed_file_that_is_no_dump_is_refused_after_its_first_bytes() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&vec![0; 64 << 20]).unwrap();
    let reason = refusal(encoder.finish().unwrap());
    assert!(reason.contains("inside gzip") && reason.contains("zeros"), "{reason}");
    // RFC 8878: a window of 128 KiB, one block of as many zeros, which is the last: size << 3, type 1 in bits 1 and 2,
    // bit 0.
    let zeros = [0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3, 0x03, 0, 0x10, 0];
    let reason = refusal(zeros.to_vec());
    assert!(reason.contains("inside zstd") && reason.contains("at 0x0: zeros"), "{reason}");
    assert!(!reason.contains("empty") && !reason.contains("very short"), "{reason}");
}

#[test]
fn a_compressed_dump_whose_checksum_differs_is_damaged_and_not_cut() {
    let plain = kernel_core().bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.write_all(&plain).unwrap();
    let (gzip, zstd) = (gzip.finish().unwrap(), zstd.finish().unwrap());
    // The last byte of the length that gzip states, and of zstd's checksum: no byte is missing.
    for (mut compressed, said) in [(gzip, "checksum"), (zstd, "checksum differs")] {
        *compressed.last_mut().unwrap() ^= 1;
        let message = opened(compressed.clone()).problems[0].message.clone();
        assert!(message.contains("is damaged") && message.contains(said), "{message}");
        let message = opened(compressed[..compressed.len() - 1].to_vec()).problems[0].message.clone();
        assert!(message.contains("the file is cut") && !message.contains("damaged"), "{message}");
    }
}
