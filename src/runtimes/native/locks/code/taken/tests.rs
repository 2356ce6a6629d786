//! Locks taken by code that is written here by hand.

use super::*;

const START: u64 = 0x40_0000;
const LOCK: u64 = 0x40_0100;
const LOCKING: u64 = 0x50_0000;
const UNLOCKING: u64 = 0x50_1000;
const WORKING: u64 = 0x50_2000;
const READING: u64 = 0x50_3000;

fn callee(target: Addr) -> Callee {
    match target.0 {
        LOCKING => Callee::Locks(Mode::Alone),
        READING => Callee::Locks(Mode::Reading),
        UNLOCKING => Callee::Unlocks,
        _ => Callee::Other,
    }
}

/// Bytes of `call target` at an offset from the start.
fn call(at: u64, target: u64) -> Vec<u8> {
    let distance = target.wrapping_sub(START + at + 5) as u32;
    [&[0xe8], &distance.to_le_bytes()[..]].concat()
}

fn held(code: &[&[u8]], site: u64, now: [Option<u64>; GENERAL]) -> Vec<u64> {
    taken(code, site, now, [None; 6]).held.into_iter().map(|held| held.hold.lock.0).collect()
}

fn taken(code: &[&[u8]], site: u64, now: [Option<u64>; GENERAL], passed: Passed) -> Taken {
    ask(code, Site::Call(Addr(START + site)), now, passed)
}

fn ask(code: &[&[u8]], site: Site, now: [Option<u64>; GENERAL], passed: Passed) -> Taken {
    let mut bytes = code.concat();
    bytes.resize(0x200, 0xcc);
    let memory = Memory::of_bytes(START, &bytes);
    let budget = Cell::new(MAX_STEPS);
    let question = Question {
        budget: &budget,
        memory: &memory,
        callee: &callee,
        start: Addr(START),
        lands: &|target| target,
        site,
        entry: [None; GENERAL],
        passed,
        now,
    };
    question.answer()
}

const NOTHING: [Option<u64>; GENERAL] = [None; GENERAL];
// mov $1,%ecx | xor %eax,%eax | lock cmpxchg %ecx,LOCK(%rip), 15 bytes from the start
const TRY: [u8; 15] = [0xb9, 1, 0, 0, 0, 0x31, 0xc0, 0xf0, 0x0f, 0xb1, 0x0d, 0xf1, 0, 0, 0];

#[test]
fn a_lock_of_rust_is_held_after_the_exchange_succeeded() {
    //  0 TRY | f jne 17 | 11 call WORKING | 16 ret | 17 ret
    let code = [&TRY[..], &[0x75, 0x06], &call(0x11, WORKING), &[0xc3], &[0xc3]];
    assert_eq!(held(&code, 0x16, NOTHING), [LOCK]);
}

#[test]
fn on_the_way_to_the_slow_path_it_is_not_held_and_behind_it_it_is() {
    //  0 TRY | f je 1d | 11 lea LOCK(%rip),%rdi | 18 call LOCKING | 1d call WORKING | 22 ret
    let lea = [0x48, 0x8d, 0x3d, 0xe8, 0, 0, 0];
    let code = [&TRY[..], &[0x74, 0x0c], &lea, &call(0x18, LOCKING), &call(0x1d, WORKING), &[0xc3]];
    assert_eq!(held(&code, 0x1d, NOTHING), [0; 0], "the thread waits in the slow path");
    assert_eq!(held(&code, 0x22, NOTHING), [LOCK], "both ways lead here with the lock");
}

#[test]
fn a_lock_that_was_given_back_is_not_held() {
    //  0 TRY | f jne 1f | 11 xor %eax,%eax | 13 xchg %eax,LOCK(%rip) | 19 call WORKING | 1e ret | 1f ret
    let exchange = [0x31, 0xc0, 0x87, 0x05, 0xe7, 0, 0, 0];
    let code = [&TRY[..], &[0x75, 0x0e], &exchange, &call(0x19, WORKING), &[0xc3], &[0xc3]];
    assert_eq!(held(&code, 0x1e, NOTHING), [0; 0]);
}

#[test]
fn a_lock_taken_on_one_of_two_paths_is_not_held() {
    //  0 test %esi,%esi | 2 je 10 | 4 lea LOCK(%rip),%rdi | b call LOCKING | 10 call WORKING | 15 ret
    let lea = [0x48, 0x8d, 0x3d, 0xf5, 0, 0, 0];
    let code = [&[0x85, 0xf6, 0x74, 0x0c][..], &lea, &call(0xb, LOCKING), &call(0x10, WORKING), &[0xc3]];
    assert_eq!(held(&code, 0x15, NOTHING), [0; 0]);
}

#[test]
fn an_argument_is_known_where_the_function_kept_it() {
    //  0 push %rbp | 1 mov %rdi,%rbp | 4 mov 0x10(%rdi),%rdi | 8 call LOCKING | d call WORKING | 12 ret
    let head = [0x55, 0x48, 0x89, 0xfd, 0x48, 0x8b, 0x7f, 0x10];
    // The caller's structure is in the same memory: its member at 0x10 is the word at START + 0x190.
    let mut code = [&head[..], &call(8, LOCKING), &call(0xd, WORKING), &[0xc3]].concat();
    code.resize(0x190, 0xcc);
    code.extend(LOCK.to_le_bytes());
    let mut now = NOTHING;
    if let Some(rbp) = now.get_mut(5) {
        *rbp = Some(START + 0x180);
    }
    assert_eq!(held(&[&code], 0x12, now), [LOCK]);
    assert_eq!(held(&[&code], 0x12, NOTHING), [0; 0], "without the register nothing is known");
    assert_eq!(held(&[&code], 0xd, now), [0; 0], "the locking call itself has not returned");
}

#[test]
fn a_computed_jump_leaves_nothing_certain() {
    //  0 TRY | f jne 1c | 11 test %esi,%esi | 13 je 17 | 15 jmp *%rdx | 17 call WORKING | 1c ret
    let code = [&TRY[..], &[0x75, 0x0b, 0x85, 0xf6, 0x74, 0x02, 0xff, 0xe2], &call(0x17, WORKING), &[0xc3]];
    assert_eq!(held(&code, 0x1c, NOTHING), [0; 0]);
}

fn reading(lock: u64) -> Vec<Hold> {
    vec![Hold { lock: Addr(lock), mode: Mode::Reading }]
}

fn holds(taken: Taken) -> Vec<Hold> {
    taken.held.into_iter().map(|held| held.hold).collect()
}

#[test]
fn a_reader_adds_to_the_word_that_it_read() {
    //  0 mov LOCK(%rip),%eax | 6 cmp $9,%eax | 9 ja 21 | b lea 1(%rax),%ecx | e lock cmpxchg %ecx,LOCK(%rip)
    // 16 jne 21 | 18 call WORKING | 1d ret
    let load = [0x8b, 0x05, 0xfa, 0, 0, 0, 0x83, 0xf8, 0x09, 0x77, 0x16, 0x8d, 0x48, 0x01];
    let exchange = [0xf0, 0x0f, 0xb1, 0x0d, 0xea, 0, 0, 0, 0x75, 0x09];
    let code = [&load[..], &exchange, &call(0x18, WORKING), &[0xc3, 0x90, 0x90, 0x90], &[0xc3]];
    assert_eq!(holds(taken(&code, 0x1d, NOTHING, [None; 6])), reading(LOCK));
    // One that takes from it is no reader: lea -1(%rax),%ecx.
    let mut less = load;
    less[13] = 0xff;
    let code = [&less[..], &exchange, &call(0x18, WORKING), &[0xc3, 0x90, 0x90, 0x90], &[0xc3]];
    assert_eq!(taken(&code, 0x1d, NOTHING, [None; 6]).held, []);
}

#[test]
fn a_reader_that_left_by_subtracting_is_none() {
    //  0 lea LOCK(%rip),%rdi | 7 call READING | c lock decl LOCK(%rip) | 13 call WORKING | 18 ret
    let lea = [0x48, 0x8d, 0x3d, 0xf9, 0, 0, 0];
    let leave = [0xf0, 0xff, 0x0d, 0xed, 0, 0, 0];
    let code = [&lea[..], &call(7, READING), &leave, &call(0x13, WORKING), &[0xc3]];
    assert_eq!(taken(&code, 0x13, NOTHING, [None; 6]).held, [], "at a call that the code does not make");
    assert_eq!(taken(&code, 0x18, NOTHING, [None; 6]).held, []);
}

#[test]
fn a_lock_that_the_caller_passes_is_known_where_the_caller_tells() {
    //  0 call READING | 5 call WORKING | a ret: the argument is kept nowhere
    let code = [&call(0, READING)[..], &call(5, WORKING), &[0xc3]];
    let unknown = taken(&code, 0xa, NOTHING, [None; 6]);
    assert_eq!((unknown.held, unknown.any, unknown.unresolved), (vec![], true, true));
    let known = taken(&code, 0xa, NOTHING, [Some(LOCK), None, None, None, None, None]);
    assert_eq!(known.target, Some(Addr(WORKING)));
    assert_eq!(holds(known), reading(LOCK));
}

#[test]
fn a_tail_call_through_a_stub_leads_away_from_the_call() {
    //  0 TRY | f jne 20 | 11 test %esi,%esi | 13 jne 1b | 15 jmp *0(%rip) | 1b call WORKING | 20 ret
    let jumps = [0x75, 0x0f, 0x85, 0xf6, 0x75, 0x06, 0xff, 0x25, 0, 0, 0, 0];
    let code = [&TRY[..], &jumps, &call(0x1b, WORKING), &[0xc3]];
    assert_eq!(held(&code, 0x20, NOTHING), [LOCK]);
}

#[test]
fn what_a_function_hands_over_is_known_at_its_last_jump() {
    //  0 mov 8(%rdi),%rbx | 4 call WORKING | 9 mov %rbx,%rdi | c jmp READING
    let jump = (READING.wrapping_sub(START + 0x11) as u32).to_le_bytes();
    let code = [&[0x48, 0x8b, 0x5f, 0x08][..], &call(4, WORKING), &[0x48, 0x89, 0xdf, 0xe9], &jump];
    // The caller passes START + 0x180, whose second word is the lock.
    let mut bytes = code.concat();
    bytes.resize(0x188, 0xcc);
    bytes.extend(LOCK.to_le_bytes());
    let passed = [Some(START + 0x180), None, None, None, None, None];
    let found = ask(&[&bytes], Site::Jump(Addr(READING)), NOTHING, passed);
    assert_eq!(found.first_argument(), Some(Addr(LOCK)));
    let elsewhere = ask(&[&bytes], Site::Jump(Addr(LOCKING)), NOTHING, passed);
    assert_eq!(elsewhere.first_argument(), None);
}

/// Where the lock of [`TRY`]'s programs was taken, as offsets from the start.
fn sites(code: &[&[u8]], site: u64) -> Vec<u64> {
    let held = taken(code, site, NOTHING, [None; 6]).held;
    held.into_iter().flat_map(|held| held.sites).map(|at| at.0 - START).collect()
}

// lea LOCK(%rip),%rdi at an offset from the start.
fn lea(at: u8) -> [u8; 7] {
    [0x48, 0x8d, 0x3d, 0xf9 - at, 0, 0, 0]
}

#[test]
fn a_lock_was_taken_on_the_way_to_the_call_and_not_elsewhere_in_the_function() {
    //  0 test %esi,%esi | 2 je 17 | 4 lea LOCK,%rdi | b call LOCKING | 10 call WORKING | 15 ret | 16 nop
    // 17 lea LOCK,%rdi | 1e call LOCKING | 23 call WORKING | 28 ret
    let first = [&lea(4)[..], &call(0xb, LOCKING), &call(0x10, WORKING), &[0xc3, 0x90]].concat();
    let second = [&lea(0x17)[..], &call(0x1e, LOCKING), &call(0x23, WORKING), &[0xc3]].concat();
    let code = [&[0x85, 0xf6, 0x74, 0x13][..], &first, &second];
    assert_eq!(sites(&code, 0x15), [0x10]);
    assert_eq!(sites(&code, 0x28), [0x23]);
}

#[test]
fn a_lock_that_two_ways_take_at_two_places_was_taken_at_either() {
    //  0 test %esi,%esi | 2 je 12 | 4 lea LOCK,%rdi | b call LOCKING | 10 jmp 1e
    // 12 lea LOCK,%rdi | 19 call LOCKING | 1e call WORKING | 23 ret
    let first = [&lea(4)[..], &call(0xb, LOCKING), &[0xeb, 0x0c]].concat();
    let second = [&lea(0x12)[..], &call(0x19, LOCKING), &call(0x1e, WORKING), &[0xc3]].concat();
    let code = [&[0x85, 0xf6, 0x74, 0x0e][..], &first, &second];
    assert_eq!(sites(&code, 0x23), [0x10, 0x1e]);
}

#[test]
fn every_case_of_a_switch_is_followed() {
    //  0 lea LOCK,%rdi | 7 call LOCKING | c cmp $1,%esi | f ja 2a | 11 mov %esi,%esi | 13 lea 0x180(table),%rdx
    // 1a movslq (%rdx,%rsi,4),%rax | 1e add %rdx,%rax | 21 jmp *%rax | 23 call WORKING (case 0) | 28 ret | 29 nop | 2a ret (case 1)
    let table = 0x180_u64;
    let switch = [
        0x83, 0xfe, 0x01, 0x77, 0x19, 0x89, 0xf6, 0x48, 0x8d, 0x15, 0x66, 0x01, 0, 0, 0x48, 0x63, 0x04, 0xb2, 0x48,
        0x01, 0xd0, 0xff, 0xe0,
    ];
    let code = [&lea(0)[..], &call(7, LOCKING), &switch, &call(0x23, WORKING), &[0xc3, 0x90, 0xc3]].concat();
    let with = |cases: [u64; 2]| {
        let mut bytes = code.clone();
        bytes.resize(table as usize, 0xcc);
        bytes.extend(cases.iter().flat_map(|case| (*case as u32).wrapping_sub(table as u32).to_le_bytes()));
        bytes
    };
    assert_eq!(held(&[&with([0x23, 0x2a])], 0x28, NOTHING), [LOCK]);
    // A case that leads around the locking call, to the call of WORKING: there the lock may not be held.
    let around = |bytes: &mut Vec<u8>| bytes[0..2].copy_from_slice(&[0xeb, 0x0a]); // 0 jmp c
    let mut bytes = with([0x23, 0x2a]);
    around(&mut bytes);
    assert_eq!(held(&[&bytes], 0x28, NOTHING), [0; 0]);
    // Without the comparison nothing says how long the table is.
    let mut bytes = with([0x23, 0x2a]);
    bytes[0xc..0x11].fill(0x90);
    assert_eq!(held(&[&bytes], 0x28, NOTHING), [0; 0]);
}
