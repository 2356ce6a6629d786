//! Whether a module's files are those that were mapped, and what is to be said where they are not known to be.

use symbols::{Attempt, Outcome};

use super::Module;
use crate::model::{Problem, Subject, Verification, VerificationState, VerifiedBy};

impl Module {
    /// Whether its files are the ones that were mapped. The debug file counts once it was looked for.
    pub fn verification(&self) -> Verification {
        let lost = |held: Option<&str>| match self.refused() {
            Some(attempt) => {
                Verification::not(VerificationState::Refused, Some(with_path(attempt, &attempt.outcome.to_string())))
            }
            None => Verification::not(VerificationState::Missing, held.map(str::to_owned)),
        };
        if self.code.elf.is_none() {
            return lost(None);
        }
        match self.code.attempts.last() {
            _ if self.rebuilt && self.mapped.is_vdso() => Verification::verified(VerifiedBy::Memory, None),
            _ if self.is_kept() => Verification::verified(VerifiedBy::Memory, None),
            _ if self.rebuilt => lost(Some("its names are those that the dump's own memory holds")),
            Some(Attempt { outcome: Outcome::AcceptedUnverified(why), .. }) => {
                Verification::not(VerificationState::Unverified, Some(why.clone()))
            }
            accepted => match self.doubtful_debug_file() {
                Some(why) => Verification::not(VerificationState::Unverified, Some(why)),
                None => match accepted.map(|attempt| &attempt.outcome) {
                    Some(Outcome::AcceptedByContents(what)) => {
                        Verification::verified(VerifiedBy::Contents, Some(what.clone()))
                    }
                    _ => Verification::verified(VerifiedBy::BuildId, None),
                },
            },
        }
    }

    /// Whether its file is the one that `collect` put into the dump.
    fn is_kept(&self) -> bool {
        !self.rebuilt && self.code.place.is_none() && self.kept.as_ref().is_some_and(|kept| kept.has_code())
    }

    /// The first file that was there and was not taken.
    fn refused(&self) -> Option<&Attempt> {
        self.code.attempts.iter().find(|attempt| attempt.outcome.is_refusal())
    }

    /// Why its debug file, where one is in use, may be another build's.
    fn doubtful_debug_file(&self) -> Option<String> {
        match self.debug.get()?.attempts.last()? {
            attempt @ Attempt { outcome: Outcome::AcceptedUnverified(why), .. } => Some(with_path(attempt, why)),
            _ => None,
        }
    }

    /// Whether names and unwind tables of it may be another build's.
    pub fn is_doubtful(&self) -> bool {
        self.verification().state == VerificationState::Unverified
    }

    /// What is to be told of its files; `None` where they are in order.
    pub(super) fn problem(&self) -> Option<Problem> {
        let name = self.mapped.path.as_deref().unwrap_or("[vdso]");
        let verification = self.verification();
        let detail = verification.detail.as_deref().unwrap_or_default();
        let (code, message, remedy) = match verification.state {
            VerificationState::Verified => return None,
            // What the dump holds of it is as good as the file.
            VerificationState::Missing if self.rebuilt => return None,
            VerificationState::Unverified => {
                let message = format!("{name}: its file is used, and may be another build's: {detail}");
                ("module-file-unverified", message, "what rests on it is likely at best; --exe FILE names another file")
            }
            VerificationState::Refused => {
                let (path, outcome) = self.refused().map(|refused| (&refused.place, &refused.outcome)).unzip();
                let instead = match self.rebuilt {
                    true => "; it is read from the dump's own memory".to_owned(),
                    false => format!(" (wanted {})", self.wanted()),
                };
                let (path, outcome) = (shown(path), shown(outcome));
                ("module-file-missing", format!("{name}: the file {path} is refused: {outcome}{instead}"), MISSING)
            }
            VerificationState::Missing => {
                let places = self.code.attempts.len();
                let message = format!("{name}: file not found ({}; looked in {places} places)", self.wanted());
                ("module-file-missing", message, MISSING)
            }
        };
        Some(Problem::new(code, Subject::Module(self.mapped.base), message).with_remedy(remedy))
    }

    fn wanted(&self) -> String {
        match &self.mapped.build_id {
            Ok(Some(id)) => format!("build id {id}"),
            Ok(None) => "no build id".to_owned(),
            Err(gap) => format!("build id unknown ({gap})"),
        }
    }
}

const MISSING: &str = "pass it with --exe FILE, or the machine's files with --sysroot DIR";

fn shown(part: Option<impl std::fmt::Display>) -> String {
    part.map(|part| part.to_string()).unwrap_or_default()
}

fn with_path(attempt: &Attempt, what: &str) -> String {
    format!("{}: {what}", attempt.place)
}
