//! A search in progress: what stores give is verified before it is handed out.

use std::path::Path;
use std::sync::Arc;

use super::{Attempt, Comparison, Content, Fetch, Key, Located, Outcome, Place, Store, Wanted, contents, open};
use crate::Elf;

/// A search in progress: looks at one place after the other until one is accepted.
pub(super) struct Search<'a> {
    pub(super) wanted: Wanted<'a>,
    content: Content,
    pub(super) crc: Option<u32>,
    pub(super) stripped: Option<&'a Elf>,
    /// Whether a file that cannot be verified is refused.
    pub(super) strict: bool,
    pub(super) found: Located,
}

impl<'a> Search<'a> {
    pub(super) fn new(wanted: Wanted<'a>, content: Content) -> Search<'a> {
        Search { wanted, content, crc: None, stripped: None, strict: false, found: Located::default() }
    }

    /// Asks the store at one place after the other; whether a file was accepted.
    pub(super) fn ask(&mut self, store: &dyn Store, key: &Key<'_>) -> bool {
        store.places(key).iter().any(|place| self.at(store, place))
    }

    fn at(&mut self, store: &dyn Store, place: &Place) -> bool {
        let itself = place.path().is_some_and(|path| self.stripped.and_then(Elf::path) == Some(path));
        let seen = self.found.attempts.iter().any(|attempt| attempt.place == *place);
        !itself && !seen && self.judge(place, opened(place, store.fetch(place)))
    }

    /// A file that the user named is for this module if its build id says so, or, where the dump has none, its contents or
    /// its name. Other files of the list are other modules': they are no failed attempts, unless their name says that they
    /// were meant.
    pub(super) fn named_by_user(&mut self, path: &Path, recorded: Option<&Path>) -> bool {
        let place = Place::File(path.to_owned());
        let file = opened(&place, open::file(path));
        let same_name = recorded.and_then(Path::file_name) == path.file_name();
        let same_id = match &file {
            Ok(file) if self.wanted.build_id.is_some() => file.build_id() == self.wanted.build_id,
            Ok(file) => self.verdict(file).is_verified(),
            Err(_) => false,
        };
        (same_name || same_id) && self.judge(&place, file)
    }

    fn judge(&mut self, place: &Place, opened: Result<Elf, Outcome>) -> bool {
        let (outcome, file) = match opened {
            Ok(file) => (self.verdict(&file), Some(file)),
            Err(outcome) => (outcome, None),
        };
        let verified = outcome.is_verified();
        let accepted = verified || matches!(outcome, Outcome::AcceptedUnverified(_));
        self.found.attempts.push(Attempt { place: place.clone(), outcome });
        if accepted {
            self.found.elf = file.map(Arc::new);
            self.found.place = Some(place.clone());
            self.found.verified = verified;
        }
        accepted
    }

    fn verdict(&self, file: &Elf) -> Outcome {
        let found = file.machine();
        if self.wanted.machine.is_some_and(|machine| machine != found) {
            return Outcome::MachineDiffers { found };
        }
        let same_build = self.wanted.build_id.is_some() && self.wanted.build_id == file.build_id();
        let by_checksum = self.crc.filter(|_| file.build_id().is_none() || self.wanted.build_id.is_none());
        if self.wanted.build_id.is_some() && !same_build && by_checksum.is_none() {
            return Outcome::BuildIdDiffers { found: file.build_id().cloned() };
        }
        if let Some(crc) = by_checksum
            && crc32fast::hash(file.bytes()) != crc
        {
            return Outcome::CrcDiffers;
        }
        match self.content {
            Content::Code if !file.has_code() => Outcome::Lacks("code (it is a separate debug file)"),
            Content::Debug if !file.has_names() => Outcome::Lacks("debug information and no symbols"),
            _ if same_build || by_checksum.is_some() => Outcome::Accepted,
            _ => match self.compare(file) {
                Comparison::Same(what) => Outcome::AcceptedByContents(what),
                Comparison::Differs(what) => Outcome::ContentsDiffer(what),
                Comparison::Unknown(why) if self.strict => Outcome::Unverifiable(why),
                Comparison::Unknown(why) => Outcome::AcceptedUnverified(why),
            },
        }
    }

    fn compare(&self, file: &Elf) -> Comparison {
        match (self.content, self.stripped, self.wanted.contents) {
            (Content::Debug, Some(stripped), _) => contents::of_debug_file(stripped, file),
            (Content::Code, _, Some(contents)) => contents.compare(file),
            _ => Comparison::Unknown("there is no build id and nothing to compare it with".to_owned()),
        }
    }
}

/// What a store gave, as a file that can be judged. Here a file's kind is told by its bytes: ELF is the only one that is read.
fn opened(place: &Place, fetched: Fetch) -> Result<Elf, Outcome> {
    match fetched {
        // A debuginfod client leaves an empty file for what no server had.
        Fetch::Found(bytes) if bytes.is_empty() => Err(Outcome::Absent),
        Fetch::Found(bytes) => Elf::parse_from(place.clone(), bytes).map_err(|_| Outcome::NotElf),
        Fetch::Absent => Err(Outcome::Absent),
        Fetch::NotAFile => Err(Outcome::NotAFile),
        Fetch::Failed(why) => Err(Outcome::Unreadable(why)),
    }
}
