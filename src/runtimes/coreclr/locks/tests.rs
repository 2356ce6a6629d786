//! Damaged tables and lists, in memory written by hand.

use super::blocking::{self, Blocking, On};
use super::constructors::{Running, awaited};
use super::holders::Holders;
use super::holding::Holding;
use super::kinds;
use super::stack::Part;
use super::sync_blocks::{State, SyncBlocks};
use crate::capture::Memory;
use crate::job::Job;
use crate::model::{Absence, Addr, Evidence, Gap, Owner, Tid};
use crate::runtimes::coreclr::clr::Clr;
use crate::runtimes::coreclr::modules::Modules;
use crate::runtimes::coreclr::threads::{ManagedThread, ManagedThreads};
use crate::runtimes::coreclr::types::{Classes, Types};
use rustc_hash::FxHashMap;

/// 0x400 bytes at 0x1000, with these words.
fn memory(words: &[(u64, u64)]) -> Memory {
    let mut all = vec![0; 0x80];
    for (at, word) in words {
        all[usize::try_from((at - 0x1000) / 8).unwrap()] = *word;
    }
    Memory::of(0x1000, &all)
}

/// The table of .NET 9 with its entries; `end`: how many are said to be there.
fn table(end: u64, words: &[(u64, u64)]) -> SyncBlocks {
    // The variables at 0x1000, the table at 0x1100, the cache at 0x1200: its count is the upper half of the word at 176.
    let known = [(0x1000, 0x1100), (0x1008, 0x1200), (0x1200 + 176, end << 32)];
    let all: Vec<(u64, u64)> = known.iter().chain(words).copied().collect();
    let clr = Clr::by_hand(9, memory(&all), &[("SyncTableEntries", 0x1000), ("SyncBlockCache", 0x1008)]);
    SyncBlocks::read(&clr, &Job::default()).unwrap()
}

/// A thread with a managed id and, unless it has ended, an OS id.
fn thread(id: u32, tid: u32, address: u64) -> ManagedThread {
    let unknown = || Gap::NotRecorded("not of interest".to_owned());
    ManagedThread {
        address: Addr(address),
        id: Ok(id),
        tid: Ok(Some(Tid(tid)).filter(|tid| tid.0 != 0)),
        name: Ok(None),
        state: Err(unknown()),
        preemptive: Err(unknown()),
        finalizer: false,
        collecting: false,
        last_exception: Ok(None),
    }
}

fn threads() -> ManagedThreads {
    ManagedThreads { threads: vec![thread(3, 77, 0x9000), thread(4, 0, 0x9100)], count: Ok(2), cut: None }
}

// A SyncBlock: state 0, recursion 4, owner 8, his OS id 16. Source: dotnet/runtime src/coreclr/vm/syncblk.h.
const HELD: [(u64, u64); 5] =
    [(0x1110, 0x1300), (0x1118, 0x5000), (0x1300, 2 << 32 | 0x81), (0x1308, 0x9000), (0x1310, 77)];

#[test]
fn an_entry_tells_its_owner_how_often_and_how_many_wait() {
    // The second entry is free: it has the next free one's place, shifted, with the low bit.
    let blocks = table(3, &[HELD.as_slice(), &[(0x1128, 7)]].concat());
    assert_eq!((blocks.all.len(), blocks.free, &blocks.cut), (1, 1, &None));
    let block = &blocks.all[0];
    let state = State { is_locked: true, recursion: 2, owner: 0x9000, tid: 77, waiters: 2 };
    assert_eq!((block.index, block.address, block.object), (1, Addr(0x1300), Addr(0x5000)));
    assert_eq!(block.state, Ok(state));
    let list = threads();
    let held = block.held(&Holders::of(&list));
    assert_eq!((held.owner, held.recursion), (Owner::Thread(Tid(77)), Some(2)));
    assert!(blocks.of(Addr(0x5000)).is_some() && blocks.at(Addr(0x1300)).is_some() && blocks.of(Addr(0)).is_none());
}

#[test]
fn a_table_that_says_more_than_memory_holds_ends_where_that_does() {
    let blocks = table(1 << 20, &HELD);
    // What else is in memory is taken for entries; none is made of what is not.
    assert_eq!(blocks.all.first().map(|block| block.object), Some(Addr(0x5000)));
    assert!(blocks.all.len() < 0x30, "{}", blocks.all.len());
    assert!(matches!(blocks.cut, Some(Gap::Unreadable(_))), "{:?}", blocks.cut);
    let blocks = table(u64::from(u32::MAX), &HELD);
    assert!(blocks.all.is_empty() && matches!(blocks.cut, Some(Gap::Corrupt(_))), "{:?}", blocks.cut);
    assert!(table(0, &HELD).all.is_empty());
}

#[test]
fn an_owner_that_is_no_thread_has_ended_and_one_that_is_not_written_is_unknown() {
    let list = threads();
    let holders = Holders::of(&list);
    let held = |owner: u64, tid: u64| {
        let words = [HELD.as_slice(), &[(0x1308, owner), (0x1310, tid)]].concat();
        table(2, &words).all[0].held(&holders)
    };
    let ended = held(0x9000, 78);
    let absent = ended.absent.as_ref().unwrap();
    assert_eq!((absent.tid, absent.why, ended.evidence), (78, Absence::Ended, Evidence::OWNER_GONE));
    // A thin lock became this one after its owner had ended: .NET 9 has his structure, 10 his managed id.
    for owner in [0x9100, 4] {
        let ended = held(owner, 0);
        assert!(matches!(ended.owner, Owner::Unknown(Gap::Absent(_))), "{ended:?}");
        assert_eq!(ended.evidence, Evidence::OWNER_GONE);
    }
    assert!(matches!(held(0, 0).owner, Owner::Unknown(Gap::NotRecorded(_))));
}

#[test]
fn a_block_outside_the_dump_leaves_its_owner_unknown() {
    let blocks = table(2, &[(0x1110, 0x70_0000), (0x1118, 0x5000)]);
    let list = threads();
    let held = blocks.all[0].held(&Holders::of(&list));
    assert!(matches!(held.owner, Owner::Unknown(Gap::Unreadable(_))), "{held:?}");
}

#[test]
fn an_owner_is_only_said_to_have_ended_where_every_thread_of_the_runtime_was_read() {
    let held = |list: &ManagedThreads, owner: u64, tid: u64| {
        let words = [HELD.as_slice(), &[(0x1308, owner), (0x1310, tid)]].concat();
        table(2, &words).all[0].held(&Holders::of(list))
    };
    let cut = || Gap::Corrupt("the list leads in a circle".to_owned());
    let unread = ManagedThread { tid: Err(cut()), ..thread(5, 0, 0x9200) };
    // The list is cut; it has fewer than the runtime counts; of one the OS id is not known.
    let lists = [
        ManagedThreads { cut: Some(cut()), ..threads() },
        ManagedThreads { count: Ok(3), ..threads() },
        ManagedThreads { threads: [threads().threads, vec![unread]].concat(), count: Ok(3), cut: None },
    ];
    for list in lists {
        for (owner, tid) in [(0x9000, 78), (0x9300, 0), (9, 0)] {
            let held = held(&list, owner, tid);
            assert!(matches!(held.owner, Owner::Unknown(Gap::Absent(_))), "{held:?}");
            assert_eq!((held.absent, held.evidence), (None, super::evidence::SYNC_BLOCK));
        }
        // Who is in it is told all the same.
        assert_eq!(held(&list, 0x9000, 77).owner, Owner::Thread(Tid(77)));
    }
}

/// Who has the Monitor at an address, by a table whose end is not in the dump; `unlisted`: a SyncBlock that a thread waits for.
fn monitor(words: &[(u64, u64)], at: u64, unlisted: Option<u64>) -> Owner {
    let known = [(0x1000, 0x1100), (0x1008, 0x1200), (0x1200 + 176, 1000 << 32)];
    let all: Vec<(u64, u64)> = known.iter().chain(&HELD).chain(words).copied().collect();
    let clr = Clr::by_hand(9, memory(&all), &[("SyncTableEntries", 0x1000), ("SyncBlockCache", 0x1008)]);
    let (blocks, list) = (SyncBlocks::read(&clr, &Job::default()).unwrap(), threads());
    assert!(blocks.cut.is_some());
    let (modules, classes) = (Modules::default(), Classes::default());
    let types = Types { clr: &clr, modules: &modules, classes: &classes };
    let unlisted = unlisted.map(Addr).into_iter().collect();
    Holding::of(types, &list, &blocks, &[], &unlisted, &FxHashMap::default())
        .held(kinds::MONITOR, Addr(at))
        .unwrap()
        .owner
}

#[test]
fn a_lock_that_is_in_a_part_of_the_table_that_could_not_be_read_is_not_free() {
    // The header of the object at 0x1380, four bytes before it, names the 700th SyncBlock, a thin lock's owner, nobody.
    let header = |word: u64| [(0x1378, word << 32)];
    assert!(matches!(monitor(&header(0x0800_0000 | 700), 0x1380, None), Owner::Unknown(Gap::Unreadable(_))));
    assert_eq!(monitor(&header(3), 0x1380, None), Owner::Thread(Tid(77)));
    assert_eq!(monitor(&header(0), 0x1380, None), Owner::None);
    // A SyncBlock is no object, what stands before it no header: it is read itself.
    let block = [(0x1378, 4 << 32), (0x1380, 1 << 32 | 1), (0x1388, 0x9000), (0x1390, 77)];
    assert_eq!(monitor(&block, 0x1380, Some(0x1380)), Owner::Thread(Tid(77)));
    assert!(matches!(monitor(&[], 0x70_0000, Some(0x70_0000)), Owner::Unknown(Gap::Unreadable(_))));
}

/// What the thread at 0x1000 says that it waits for.
fn said(major: u32, words: &[(u64, u64)]) -> Result<Option<Blocking>, Gap> {
    let mut all = vec![0; 0x400];
    for (at, word) in words {
        all[usize::try_from((at - 0x1000) / 8).unwrap()] = *word;
    }
    let clr = Clr::by_hand(major, Memory::of(0x1000, &all), &[]);
    let (modules, classes) = (Modules::default(), Classes::default());
    blocking::of(Types { clr: &clr, modules: &modules, classes: &classes }, Addr(0x1000))
}

#[test]
fn the_innermost_entry_is_told_and_the_rest_of_the_list_is_not_followed() {
    // 8: the head is at 1192 of the thread; an item has the lock, at 16 its kind and the time, at 24 the next: itself.
    let item = |kind: u64, time: u64| {
        vec![(0x1000 + 1192, 0x2000), (0x2000, 0x1300), (0x2010, time << 32 | kind), (0x2018, 0x2000)]
    };
    let forever = u64::from(u32::MAX);
    let entry = |on, limit_ms| Ok(Some(Blocking { on, limit_ms }));
    assert_eq!(said(8, &item(0, forever)), entry(On::Enter(Addr(0x1300)), None));
    assert_eq!(said(8, &item(1, 500)), entry(On::Pulse(Addr(0x1300)), Some(500)));
    assert!(matches!(said(8, &item(9, forever)), Err(Gap::Corrupt(_))));
    assert_eq!(said(8, &[]), Ok(None));
    assert!(matches!(said(8, &[(0x1000 + 1192, 0x70_0000)]), Err(Gap::Unreadable(_))));
    // 10: its data at 568, the head at 40 of that; an entry has at 0 the object, at 8 its kind and the time, at 16 the next: itself.
    let item = |kind: u64, object: u64| {
        vec![
            (0x1000 + 568, 0x1800),
            (0x1828, 0x2000),
            (0x2000, object),
            (0x2008, forever << 32 | kind),
            (0x2010, 0x2000),
        ]
    };
    assert_eq!(said(10, &item(1, 0x1300)), entry(On::Pulse(Addr(0x1300)), None));
    // Of a `Lock` it has the variable's address.
    let lock = [item(2, 0x2100), vec![(0x2100, 0x5000)]].concat();
    assert_eq!(said(10, &lock), entry(On::Lock(Addr(0x5000)), None));
    assert!(said(10, &item(2, 0x70_0000)).is_err());
}

#[test]
fn a_class_is_awaited_by_who_refers_to_it_in_the_runtime_and_does_not_run_it_himself() {
    let running = [Running { tid: Tid(5), table: Addr(0x6000) }];
    let part = |call: Option<&str>, word| {
        let mut part = Part::default();
        part.calls.extend(call.map(std::sync::Arc::from));
        part.is_managed = true;
        part.beneath.extend([Addr(1), Addr(word)]);
        part
    };
    assert_eq!(awaited(&part(None, 0x6000), Tid(6), &running), Some(running[0]));
    let helper = Some("System.Runtime.CompilerServices.InitHelpers.InitClassSlow(MethodTable*)");
    assert_eq!(awaited(&part(helper, 0x6000), Tid(6), &running), Some(running[0]));
    assert_eq!(awaited(&part(None, 0x6008), Tid(6), &running), None);
    assert_eq!(awaited(&part(None, 0x6000), Tid(5), &running), None, "it runs it itself");
    let elsewhere = Some("System.Threading.WaitHandle.WaitOneNoCheck(Int32)");
    assert_eq!(awaited(&part(elsewhere, 0x6000), Tid(6), &running), None);
}
