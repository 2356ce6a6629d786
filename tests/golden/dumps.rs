//! The dumps that golden answers and screens are of (`fixtures/golden`, and the demo), opened so that they have the same answers on
//! every machine: nothing is read but the dump and its executable. The tests of the terminal press keys over them, too.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use dumpscope::job::Job;
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use dumpscope::tui::event::Question;
use dumpscope::tui::look::{Background, Depth, Look};
use dumpscope::tui::stage::{Answer, Stage};
use dumpscope::tui::worker;
use symbols::{Elf, FileBytes};

/// A terminal with every symbol and 256 colours.
pub(crate) const LOOK: Look = Look { depth: Depth::Indexed, ascii: false, background: Background::Dark };

/// Opens a dump by name.
pub(crate) fn open(name: &str) -> Arc<Session> {
    let nowhere = Search { alone: true, ..Search::default() };
    let opened = match name {
        "demo" => dumpscope::demo::open(&nowhere, &Job::default()),
        name => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden");
            let exe = unpacked(&folder.join(format!("{name}.exe.zst")));
            let exe = Elf::parse_at(&Path::new("/srv").join(name), FileBytes::from_vec(exe)).expect("an executable");
            let search = Search { opened: vec![Arc::new(exe)], ..nowhere };
            Session::open(Source::File(folder.join(format!("{name}.core.zst"))), &search, &Job::default())
        }
    };
    Arc::new(opened.unwrap_or_else(|why| panic!("{name}: {why}")))
}

fn unpacked(file: &Path) -> Vec<u8> {
    let packed = std::fs::read(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    let mut bytes = Vec::new();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).expect("zstd");
    decoder.read_to_end(&mut bytes).expect("zstd");
    bytes
}

/// Answers the screen's questions as the program does.
pub(crate) fn answers(session: &Arc<Session>) -> Answer<'static> {
    let slot = Mutex::new(Some(Arc::clone(session)));
    Box::new(move |question: &Question, job: &Job| {
        let session = slot.lock().expect("nobody panics").clone().expect("a session is open");
        worker::caught(|| worker::answer(session, question.clone(), job, &slot))
    })
}

/// A screen over a dump.
pub(crate) fn stage_of(session: &Arc<Session>, look: Look, (width, height): (u16, u16)) -> Stage<'static> {
    Stage::new(look, (width, height), worker::describe(session), answers(session))
}
