//! What the rules about a fatal signal share: the fault, its title, its evidence.

use crate::model::{
    AccessKind, Addr, Detail, Exception, ExceptionFamily, FatalSignal, Fault, NamedFrame, Operand, Place, Subject, Tid,
};

use super::case::Case;
use super::finding::{Fact, Finding, Next, Part, Sentence, Severity};

/// A fault that ended the process.
pub(super) struct Crash<'a> {
    pub case: &'a Case<'a>,
    pub tid: Tid,
    pub signal: &'a FatalSignal,
    handler: Option<&'a str>,
    pub fault: &'a Fault,
    pub frames: &'a [NamedFrame],
}

impl<'a> Crash<'a> {
    /// `None` when no fault of memory ended the process.
    pub(super) fn of(case: &'a Case<'a>) -> Option<Crash<'a>> {
        let exception = signal_of(case)?;
        match &exception.detail {
            Detail::Signal { signal, handler, fault: Some(fault) } => Some(Crash {
                case,
                tid: signal.tid,
                signal,
                handler: handler.as_deref(),
                fault,
                frames: &exception.frames,
            }),
            _ => None,
        }
    }

    /// Where the address lies; `None` when that is not known.
    pub(super) fn place(&self) -> Option<Place> {
        self.fault.place.as_ref().ok().copied()
    }

    pub(super) fn executes(&self) -> bool {
        self.fault.access == Ok(AccessKind::Execute)
    }

    /// `SIGSEGV reading 0x10 in parse_header, called from main`.
    pub(super) fn title(&self) -> Sentence {
        let words = match &self.fault.access {
            Ok(AccessKind::Read) => " reading ",
            Ok(AccessKind::Write) => " writing ",
            Ok(AccessKind::Execute) => " executing ",
            Err(_) => " at ",
        };
        let title = Sentence::of(self.signal.name()).text(words);
        let title = match &self.fault.address {
            Ok(address) => title.part(Part::Address(*address)),
            Err(_) => title.text("an address that is not recorded"),
        };
        title.then(self.in_frames())
    }

    /// ` in f, called from g`. A frame outside all code (a jump to nowhere) is left out.
    pub(super) fn in_frames(&self) -> Sentence {
        let Some(first) = self.frames.first() else { return Sentence::default() };
        // What was inlined into the program's own function, a library's accessor, says less than that function.
        let own = self.case.own_frame(self.tid).filter(|own| {
            let inlined = |frame: &NamedFrame| frame.pc == first.pc && frame.sp == first.sp;
            self.frames.get(*own).is_some_and(inlined)
        });
        if first.function.is_none() && self.executes() {
            return self.case.place(self.frames, 1);
        }
        // Code that a program made itself, or whose library is gone.
        if first.module.is_none() && self.frames.len() > 1 {
            return self.case.place_after(" in code outside of all modules, called from ", self.frames, 1);
        }
        self.case.place(self.frames, own.unwrap_or(0))
    }

    /// The finding of a rule, with the evidence that every crash has.
    pub(super) fn finding(&self, rule: &'static str, certain: bool, title: Sentence) -> Finding {
        let mut evidence = Vec::new();
        if let Some(operand) = &self.fault.operand {
            evidence.push(operand_fact(operand, self.fault.bytes).about(None));
        }
        if let Some(words) = self.place_words() {
            evidence.push(words.about(self.fault.address.as_ref().ok().copied().map(Subject::Memory)));
        }
        evidence.push(self.case.chain(self.tid));
        evidence.extend(self.handler.map(|handler| handler_fact(handler, self.tid)));
        // Then the fault is judged by the instruction alone.
        let again = self.signal.was_sent();
        if again {
            let words = "the process itself sent the signal again, as a handler does that has caught it";
            evidence.push(Sentence::of(words).about(Subject::Thread(self.tid)));
        }
        Finding {
            rule,
            severity: Severity::Critical,
            certain: certain && !again,
            title,
            about: Some(Subject::Thread(self.tid)),
            evidence,
            next: Some(Next::new("printexception", "the fault and the stack that led to it")),
        }
    }

    fn place_words(&self) -> Option<Sentence> {
        let (address, place) = (self.fault.address.as_ref().ok()?, self.fault.place.as_ref().ok()?);
        let words = Sentence::default().part(Part::Address(*address)).text(" is ").text(place.to_string());
        Some(match self.signal.words().filter(|_| !self.signal.was_sent()) {
            Some(kernel) => words.text(" (the kernel: ").text(kernel).text(")"),
            None => words,
        })
    }
}

/// The fatal signal where it is what happened, and not an abort or an exception.
pub(super) fn signal_of<'a>(case: &Case<'a>) -> Option<&'a Exception> {
    case.fatal().filter(|exception| exception.kind.family == ExceptionFamily::Signal)
}

/// `the instruction reads 4 bytes at [rdi + 0x10], rdi = 0x0`.
fn operand_fact(operand: &Operand, bytes: Option<u32>) -> Sentence {
    let mut sentence = Sentence::of("the instruction's operand is ").text(operand.to_string());
    if let Some(bytes) = bytes {
        sentence = sentence.text(format!(", {bytes} {}", if bytes == 1 { "byte" } else { "bytes" }));
    }
    for term in &operand.terms {
        let value = term.value.map_or_else(|| "unknown".to_owned(), |value| Addr(value).to_string());
        sentence = sentence.text(format!("; {} = {value}", term.register));
    }
    sentence
}

/// That a handler of the program's, or of its language's runtime, ended it.
pub(super) fn handler_fact(handler: &str, tid: Tid) -> Fact {
    let words = Sentence::of("a signal handler caught it and ended the process: ").part(Part::Function(handler.into()));
    words.about(Subject::Thread(tid))
}

/// The bytes of an address, where all of them are printable: text that has overwritten a pointer.
pub(super) fn as_text(address: Addr) -> Option<String> {
    let bytes = address.0.to_le_bytes();
    let used = bytes.iter().rposition(|byte| *byte != 0)?.checked_add(1)?;
    let text = bytes.get(..used)?;
    (used >= 4 && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '))
        .then(|| String::from_utf8_lossy(text).into_owned())
}

/// The fact that an address is text.
pub(super) fn text_fact(address: Addr) -> Option<Fact> {
    let text = as_text(address)?;
    let words = Sentence::default()
        .part(Part::Address(address))
        .text(format!(" is the text \"{text}\": a pointer was overwritten"));
    Some(words.about(None))
}
