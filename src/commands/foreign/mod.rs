//! What fingers type that know another tool: run where it means the same here, else answered with a sentence that says what to
//! use instead, or why it has no meaning for this dump.

mod gdb;
mod jvm;
mod lines;
mod lldb;
mod reply;
mod sos;
mod windbg;

use self::reply::{Entry, Reason, Reply};
use crate::error::Error;
use crate::job::Job;
use crate::model::RuntimeKind;
use crate::session::Session;

/// Every table; of two that know the same words the first counts.
const TABLES: [&[Entry]; 6] =
    [sos::COMMANDS, gdb::COMMANDS, gdb::WHOLE, lldb::COMMANDS, windbg::COMMANDS, jvm::COMMANDS];

/// A command of another tool, found in what was typed.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its words as the table has them.
    pub words: &'static str,
    /// How many words of the line they are.
    pub taken: usize,
    /// What it is here.
    pub reply: Reply,
}

/// Longest command of the tables, in words.
const MOST_WORDS: usize = 4;

/// The command that most words at the start of a line are; the first word has to be whole, later ones may be shortened while one
/// answer alone begins so.
pub(super) fn find(words: &[&str]) -> Result<Option<Found>, Error> {
    let Some(first) = words.first() else { return Ok(None) };
    let first = first.to_ascii_lowercase();
    let first = match first.as_str() {
        "i" | "inf" => "info",
        // Alone it is the start of a name of ours.
        "thr" if words.len() > 1 => "thread",
        other => other,
    };
    let typed: Vec<String> = words.iter().skip(1).take(MOST_WORDS).map(|word| word.to_ascii_lowercase()).collect();
    let entries = TABLES.iter().flat_map(|table| table.iter());
    let matching = entries.filter_map(|(entry, reply)| {
        let mut parts = entry.split(' ');
        if parts.next() != Some(first) {
            return None;
        }
        let mut exact = 0usize;
        let mut taken = 1usize;
        for (part, typed) in parts.clone().zip(&typed) {
            if !part.starts_with(typed.as_str()) {
                return None;
            }
            exact = exact.saturating_add(usize::from(part == typed));
            taken = taken.saturating_add(1);
        }
        let found = Found { words: entry, taken, reply: *reply };
        (parts.count().saturating_add(1) == taken).then_some((taken, exact, found))
    });
    let matching: Vec<(usize, usize, Found)> = matching.collect();
    let best = matching.iter().map(|(taken, exact, _)| (*taken, *exact)).max();
    let mut equals = matching.iter().filter(|(taken, exact, _)| Some((*taken, *exact)) == best);
    // Of two tables that know the same words the earlier counts.
    let Some((taken, _, found)) = equals.next() else { return Ok(None) };
    let others: Vec<&str> =
        equals.map(|(.., other)| other).filter(|other| !other.is_alike(found)).map(|other| other.words).collect();
    if others.is_empty() {
        return Ok(Some(*found));
    }
    let typed = words.iter().take(*taken).copied().collect::<Vec<_>>().join(" ");
    Err(Error::Failed(format!("'{typed}' may be {}, {}", found.words, others.join(", "))))
}

impl Found {
    /// The line of ours that it is, with the words that stand behind it.
    pub fn line(&self, behind: &[&str]) -> Option<String> {
        match self.reply {
            Reply::Same(line) => {
                let words = std::iter::once(line.to_owned()).chain(behind.iter().map(|word| quoted(word)));
                Some(words.collect::<Vec<_>>().join(" "))
            }
            Reply::Line(make, _) => make(behind),
            Reply::Says(_) | Reply::Of(..) => None,
        }
    }

    /// Whether it is the same command, or one that is answered alike.
    fn is_alike(&self, other: &Found) -> bool {
        let answer = |found: &Found| (found.line(&[]), found.sentence(None, &Job::default()));
        self.words == other.words || answer(self) == answer(other)
    }

    /// The sentence where there is no such line. `session`: what is open.
    pub fn sentence(&self, session: Option<&Session>, job: &Job) -> String {
        match self.reply {
            Reply::Same(line) => format!("the same as '{line}'"),
            Reply::Line(_, sentence) | Reply::Says(sentence) => sentence.to_owned(),
            Reply::Of(reason, then) => {
                let why = reason.words(session, job);
                if then.is_empty() { why } else { format!("{why}; {then}") }
            }
        }
    }
}

fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains(char::is_whitespace) { format!("\"{word}\"") } else { word.to_owned() }
}

impl Reason {
    fn words(self, session: Option<&Session>, job: &Job) -> String {
        match self {
            Reason::Running => match session.and_then(Session::pause) {
                Some(_) => {
                    "a live process runs on here, and is stopped only while it is copied: 'refresh' copies it again"
                }
                None => "a dump holds one moment: nothing in it runs on, stops or is changed",
            }
            .to_owned(),
            Reason::DotNet(what) => {
                let kinds = [RuntimeKind::Dotnet, RuntimeKind::DotnetNativeaot, RuntimeKind::Mono];
                of_runtime(session, job, &kinds, ".NET", what)
            }
            Reason::Jvm(what) => of_runtime(session, job, &[RuntimeKind::Jvm], "JVM", what),
            Reason::Heap => {
                "of a heap its objects, their types and what refers to what are told so far: 'dumpheap', 'gcroot'"
                    .to_owned()
            }
        }
    }
}

/// Whether the runtime is not there at all, or there and not read.
fn of_runtime(session: Option<&Session>, job: &Job, kinds: &[RuntimeKind], name: &str, what: &str) -> String {
    let recognised = session.and_then(|session| session.recognised(job).ok());
    let found = recognised.as_ref().and_then(|all| all.iter().find(|runtime| kinds.contains(&runtime.kind)));
    match (found, recognised.is_some()) {
        (Some(runtime), _) if runtime.kind == RuntimeKind::Dotnet && !runtime.is_read => {
            format!("what {what} of {} are read from is not in this dump", runtime.name())
        }
        (Some(runtime), _) => format!("{what} of {} are not read yet", runtime.name()),
        (None, true) => format!("no {name} is in this process, so it has no {what}"),
        (None, false) => format!("{what} of {name} are not read yet"),
    }
}

/// Every command of other tools that is known, as the tables have them.
pub(super) fn all() -> impl Iterator<Item = &'static Entry> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// Commands of other tools that begin as a line does, and what each is here.
pub fn other_tools(start: &str) -> impl Iterator<Item = (&'static str, String)> {
    let lower = start.to_ascii_lowercase();
    let begins = move |entry: &&'static Entry| entry.0.starts_with(&lower) && crate::commands::find(entry.0).is_none();
    let mut seen = std::collections::BTreeSet::new();
    let found = all().filter(begins).filter(move |entry| seen.insert(entry.0));
    found.map(|(words, reply)| {
        let found = Found { words, taken: 1, reply: *reply };
        let said = found.line(&[]).map(|line| format!("→ {line}"));
        (*words, said.unwrap_or_else(|| found.sentence(None, &Job::default())))
    })
}

/// A line in the spelling of WinDbg, lldb or gdb, as words that the tables know: `!clrstack`, `sos clrstack`, `x/16gx`, `~3s`.
pub(super) fn plain(line: &str) -> String {
    let line = line.trim();
    let line = line.strip_prefix('!').filter(|rest| !rest.is_empty()).unwrap_or(line).trim_start();
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    if matches!(first, "sos" | "ext") && !rest.trim().is_empty() {
        return plain(rest);
    }
    if let Some(threads) = first.strip_prefix('~') {
        return lines::tilde(threads, rest);
    }
    match first.split_once('/') {
        Some((command, format)) if !command.is_empty() => format!("{command} /{format} {rest}").trim_end().to_owned(),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(typed: &str) -> Option<String> {
        let line = plain(typed);
        let words: Vec<&str> = line.split_whitespace().collect();
        match find(&words).unwrap() {
            Some(found) => found
                .line(&words[found.taken..])
                .or_else(|| crate::commands::find(words[0]).filter(|_| found.taken == 1).map(|_| line.clone())),
            None => Some(line.clone()),
        }
    }

    #[test]
    fn what_means_the_same_is_run() {
        for (typed, ours) in [
            ("info threads", "threads"),
            ("i th", "threads"),
            ("info sharedlibrary", "modules"),
            ("info registers", "registers"),
            ("thread apply all bt", "stack -all"),
            ("thr app all bt full", "stack -all -a"),
            ("thread apply all -s bt 3", "stack -all -n 3"),
            ("taas bt", "stack -all"),
            ("bt 5", "stack -n 5"),
            ("bt full", "stack -a"),
            ("backtrace full 2", "stack -a -n 2"),
            ("bt all", "stack -all"),
            ("thread list", "threads"),
            ("thread backtrace all", "stack -all"),
            ("image list", "modules"),
            ("register read", "registers"),
            ("memory read 0x1000", "readmemory 0x1000"),
            ("memory read -c 32 0x1000", "readmemory 0x1000 -n 32"),
            ("x/16gx 0x1000", "readmemory 0x1000 -n 128"),
            ("x/32xb $rsp", "readmemory $rsp -n 32"),
            ("x 0x1000", "readmemory 0x1000 -n 4"),
            ("~*k", "stack -all"),
            ("~", "threads"),
            ("~3s", "setthread 3"),
            ("thread 3", "setthread 2"),
            ("thr 3", "setthread 2"),
            ("t 1", "setthread 0"),
            ("thread select 3", "setthread 2"),
            ("thread", "setthread"),
            ("thread -t 4711", "setthread -t 4711"),
            (".exr -1", "printexception -n 0"),
            (".exr 1000", "printexception 1000"),
            ("info s", "stack"),
            ("info f", "frame"),
            ("i r", "registers"),
            ("i lo", "stack -a -frame"),
            ("thread apply all bt -full", "stack -all -a"),
            ("stack full", "stack -a"),
            ("stack -full", "stack -full"),
            ("bt -full", "bt -full"),
            ("!analyze -v", "summary"),
            ("frame select 3", "frame 3"),
            ("frame variable", "stack -a -frame"),
            ("info locals", "stack -a -frame"),
            ("kb 5", "stack -n 5"),
            ("dumpgen gen2", "dumpheap -stat -gen gen2"),
            ("dg loh -mt 7f00", "dumpheap -gen loh -mt 7f00"),
            ("!uniqstack", "parallelstacks"),
            ("jstack", "stack -all"),
            ("threads 3", "setthread 3"),
            ("lmvm libc.so.6", "modules libc.so.6"),
            ("dq 1000 L4", "readmemory 1000 -n 32"),
        ] {
            assert_eq!(meaning(typed).as_deref(), Some(ours), "{typed}");
        }
    }

    #[test]
    fn what_means_something_else_is_not_run() {
        for typed in [
            "po g_orders",
            "continue",
            "x/16i 0x1000",
            "thread apply 3 bt",
            "disassemble",
            "~3k",
            "thread 0",
            "t 0",
            "thread select 0",
            "thread 1.2",
        ] {
            assert_eq!(meaning(typed), None, "{typed}");
            let line = plain(typed);
            let words: Vec<&str> = line.split_whitespace().collect();
            assert!(
                find(&words).unwrap().is_some_and(|found| !found.sentence(None, &Job::default()).is_empty()),
                "{typed}"
            );
        }
    }

    #[test]
    fn more_words_go_before_fewer_and_unknown_words_are_not_found() {
        let find = |line: &str| find(&line.split(' ').collect::<Vec<_>>()).unwrap();
        let found = |line: &str| find(line).map(|found| (found.words, found.taken));
        assert_eq!(found("info frame"), Some(("info frame", 2)));
        assert_eq!(found("info nothing-like-it"), Some(("info", 1)));
        assert_eq!(found("nonsense"), None);
    }

    #[test]
    fn a_short_word_that_several_commands_begin_with_lists_them() {
        let said = |line: &str| find(&line.split(' ').collect::<Vec<_>>()).unwrap_err().to_string();
        assert_eq!(said("info d"), "'info d' may be info dll, info display");
        assert_eq!(said("i l"), "'i l' may be info locals, info line");
        assert!(said("thread s").contains("thread select"), "{}", said("thread s"));
        let found = |line: &str| find(&line.split(' ').collect::<Vec<_>>()).unwrap().map(|found| found.words);
        assert_eq!(found("info mac"), Some("info macro"), "both are answered alike");
    }

    #[test]
    fn a_prefix_of_windbg_or_lldb_falls_off() {
        assert_eq!(plain("!clrstack -a"), "clrstack -a");
        assert_eq!(plain("sos DumpHeap -stat"), "DumpHeap -stat");
        assert_eq!(plain("x/4gx 10"), "x /4gx 10");
        assert_eq!(plain("!"), "!");
    }
}
