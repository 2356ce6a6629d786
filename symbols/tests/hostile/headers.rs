//! The ELF headers: read in every class and byte order, wrong in every field, cut at every length.

use symbols::{BuildId, Elf, FileBytes, Machine, ModuleSymbols, Svma, SymbolKind};

use crate::ask_everything;
use crate::writer::small;

#[test]
fn files_of_both_classes_and_byte_orders_say_the_same() {
    for (wide, big, number, machine) in [
        (true, false, 62, Machine::X86_64),
        (true, false, 183, Machine::Aarch64),
        (false, false, 3, Machine::Other(3)),
        (true, true, 22, Machine::Other(22)),
        (false, true, 8, Machine::Other(8)),
    ] {
        let file = Elf::parse(FileBytes::from_vec(small(wide, big, number))).unwrap();
        assert_eq!((file.machine(), file.is_64(), file.is_little_endian()), (machine, wide, !big));
        assert_eq!(file.build_id(), BuildId::from_hex("deadbeef").as_ref());
        assert_eq!((file.entry(), file.is_dynamic(), file.has_code()), (Svma(0x1000), true, true));
        let [segment] = file.segments() else { panic!() };
        assert_eq!((segment.svma, segment.mem_size, segment.offset), (Svma(0x1000), 0x3000, 0));
        assert_eq!((segment.read, segment.write, segment.execute), (true, false, true));
        assert_eq!(file.bytes_at(Svma(0x1000), 4), Some(&b"\x7fELF"[..]));
        assert_eq!(file.bytes_at(Svma(0xfff), 1), None);
        let text = file.section(".text").unwrap().unwrap();
        assert_eq!((text.svma, text.bytes.len()), (Svma(0x1100), 0x40));
        let module = ModuleSymbols::new(Some(file.into()), None);
        let at = |at| module.function(Svma(at)).map(|symbol| symbol.name.to_string());
        assert_eq!(at(0x110f).as_deref(), Some("main"));
        assert_eq!(at(0x1110), None, "behind main's end and before the next symbol");
        assert_eq!(at(0x113f).as_deref(), Some("tail"), "a label reaches to the end of its section");
        assert_eq!(at(0x1140), None);
        assert_eq!(module.object(Svma(0x2008)).unwrap().name.as_ref(), "data");
        assert_eq!(module.lookup("main").unwrap().kind, SymbolKind::Function);
        assert_eq!(module.lookup("$x"), None);
    }
}

#[test]
fn a_file_cut_at_any_length_is_read_as_far_as_it_goes() {
    let whole = small(true, false, 62);
    let mut read = 0;
    for length in 0..whole.len() {
        read += usize::from(ask_everything(whole[..length].to_vec()) > 1);
    }
    // 64 bytes of file header and 56 of the one program header.
    assert!(read >= whole.len() - (64 + 56), "{read} of {}", whole.len());
    // The section headers come last: without them the segments are still there, the build id is not.
    let cut = Elf::parse(FileBytes::from_vec(whole[..whole.len() - 7 * 64].to_vec())).unwrap();
    assert_eq!(cut.segments().len(), 1);
}

#[test]
fn every_byte_of_a_small_file_may_be_wrong() {
    for (wide, big) in [(true, false), (false, true)] {
        let whole = small(wide, big, 62);
        for at in 0..whole.len() {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                ask_everything(bytes);
            }
        }
    }
}

#[test]
fn eight_bytes_of_ones_anywhere_do_no_harm() {
    let whole = small(true, false, 62);
    for at in 0..whole.len() - 8 {
        let mut bytes = whole.clone();
        bytes[at..at + 8].fill(0xff);
        ask_everything(bytes);
    }
}
