//! Places of static fields in memory written by hand.

use crate::capture::Memory;
use crate::model::Addr;
use crate::runtimes::coreclr::clr::Clr;
use crate::runtimes::coreclr::modules::Modules;
use crate::runtimes::coreclr::types::{Classes, Field, Held, Types};

#[test]
fn a_threads_place_is_held_against_the_count_as_it_is() {
    // A class at 0x1000 whose auxiliary data is at 0x1200: 40 bytes before that are the places of its fields. A thread at 0x1400 with its data at
    // 0x1900: three places, of which two have no slot, and an array at 0x1a00.
    let mut words = vec![0; 0x200];
    let mut put = |at: usize, word: u64| words[(at - 0x1000) / 8] = word;
    put(0x1020, 0x1200);
    put(0x1400 + 568, 0x1900);
    put(0x1900, 3);
    put(0x1908, 0x1a00);
    put(0x1a10, 0x7000);
    let place = |words: &[u64], index: u64| {
        let mut words = words.to_vec();
        words[(0x1200 - 40 - 0x1000) / 8] = index << 32;
        let clr = Clr::by_hand(10, Memory::of(0x1000, &words), &[]);
        let (modules, classes) = (Modules::default(), Classes::default());
        let types = Types { clr: &clr, modules: &modules, classes: &classes };
        // A reference, 8 bytes behind where those of its kind begin.
        let sort = Err(crate::model::Gap::NotRecorded("not of interest".to_owned()));
        let field =
            Field { name: "t".into(), declared_by: Addr(0x1000), sort, element: 0x12, offset: 8, held: Held::Thread };
        types.thread_static_place(Addr(0x1400), Addr(0x1000), &field)
    };
    assert_eq!(place(&words, 2), Ok(Some(Addr(0x7008))));
    // Beyond the count, and in what has no slot, the thread has none yet.
    for index in [0, 1, 3, 4, 0x00ff_ffff] {
        assert_eq!(place(&words, index), Ok(None), "{index:#x}");
    }
    assert!(place(&words, 0x0700_0000).is_err());
}
