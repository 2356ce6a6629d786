//! What ended the process.

use super::*;

#[test]
fn a_null_member_is_told_with_the_function_and_its_caller() {
    let process = crashed(&["parse_header(Header*)", "main", "__libc_start_call_main"]);
    let process = process.fault(AccessKind::Read, 0x10, Place::NullPage { offset: 0x10 }, 0, None);
    assert_eq!(
        process.titles(),
        ["SIGSEGV reading 0x10 in parse_header, called from main: a member of a null pointer"]
    );
}

#[test]
fn an_address_near_zero_without_a_null_register_is_likely_only() {
    let process = crashed(&["f"]).fault(AccessKind::Read, 0x10, Place::NullPage { offset: 0x10 }, 8, None);
    assert_eq!(process.titles(), ["SIGSEGV reading 0x10 in f: near zero, where nothing is mapped?"]);
}

#[test]
fn a_stack_overflow_names_the_recursion_and_its_depth() {
    let mut functions = ["ping(int)", "pong(int)"].repeat(50);
    functions.push("main");
    let guard = Place::StackGuard { stack: Addr(0x8000), size: 8 << 20 };
    let process = crashed(&functions).fault(AccessKind::Write, 0x7ff8, guard, 0x7ff8, None);
    assert_eq!(process.titles(), ["stack overflow: pong calls ping calls pong, 50 calls deep"]);
}

#[test]
fn a_pointer_from_freed_memory_is_likely_and_beats_the_bare_signal() {
    let freed = Freed { object: Some(Addr(0x5000)), bytes: Some(32), list: FreeList::Tcache, register: "rbx" };
    let process = crashed(&["f"]).fault(AccessKind::Read, 0x55_5555, Place::Unmapped, 0x55_5545, Some(freed));
    assert_eq!(process.titles(), ["SIGSEGV reading 0x555555 in f: a pointer from freed memory?"]);
}

#[test]
fn jumps_into_data_and_to_nowhere_are_told_apart() {
    let jump = |place| {
        let process = crashed(&["", "call_handler"]).fault(AccessKind::Execute, 0xdead_beef, place, 0, None);
        process.titles().remove(0)
    };
    assert_eq!(jump(Place::NotExecutable), "execution of data at 0xdeadbeef in call_handler");
    assert_eq!(jump(Place::Unmapped), "jump to nowhere: 0xdeadbeef is no code in call_handler");
}

#[test]
fn an_uncaught_exception_is_told_with_its_type_and_message() {
    let detail = Detail::Cxx { phase: Phase::Uncaught, ended: Some(Termination::Uncaught) };
    let process = crashed(&["read_request()"]).fatal(kinds::CXX, Some("bad request"), detail);
    assert_eq!(process.titles(), ["uncaught std::runtime_error: bad request, thrown in read_request"]);
}

#[test]
fn an_abort_is_told_with_its_text_and_what_it_means() {
    let process = crashed(&["f"]).fatal(kinds::ABORT, Some("malloc(): corrupted top size"), Detail::Nothing);
    assert_eq!(process.titles(), ["abort: malloc(): corrupted top size, in f"]);
    assert!(process.verdict()[0].evidence[0].text.to_string().contains("the heap was smashed earlier"));
}

#[test]
fn a_signal_from_another_process_is_told_with_its_sender() {
    let mut process = Process::default().thread(1, "main", on(CallKind::Sleep, None), &["main"]);
    process.signal = Some(signal(3, 0, Some(77)));
    assert_eq!(
        process.titles(),
        [
            "killed from outside with SIGQUIT by process 77 (user 1000)",
            "its only thread waits for work, input or time: nothing looks wrong here?"
        ]
    );
}

#[test]
fn a_signal_that_the_process_sent_itself_is_not_from_outside() {
    let mut process = crashed(&["main"]);
    process.signal = Some(signal(11, -6, Some(PID)));
    let detail = Detail::Signal { signal: signal(11, -6, Some(PID)), handler: None, fault: None };
    let process = process.fatal(kinds::SIGNAL, Some("sent by tkill"), detail);
    assert_eq!(process.titles(), ["SIGSEGV raised by the process itself in main"]);
}
