//! Modules as shown: where the names of each came from, and what was tried.

use rayon::prelude::*;

use symbols::{Attempt, Outcome, SourceKind, SymbolSource};

use super::Process;
use crate::error::Error;
use crate::job::Job;
use crate::model::{ModuleRow, SymbolState};

impl Process {
    /// Every module with where its symbols came from. Opens every module's symbols.
    pub fn modules(&self, job: &Job) -> Result<Vec<ModuleRow>, Error> {
        job.phase("looking for symbols", self.target.modules.len() as u64);
        self.target
            .modules
            .par_iter()
            .map(|module| {
                job.advance(1)?;
                let debug = module.debug();
                let sources = module.symbols().sources();
                let kind = best_source(&sources);
                let from_dump = sources.iter().any(|source| source_word(source.kind) == kind && source.place.is_none());
                let has_file = module.code.place.is_some() || module.mapped.is_vdso();
                let missing = !has_file || kind == "none";
                // A file that was there and refused is always named; places without a file only where something is missing.
                let attempts = module.code.attempts.iter().chain(&debug.attempts);
                let tried = attempts.filter(|attempt| missing || is_telling(&attempt.outcome));
                Ok(ModuleRow {
                    base: module.mapped.base,
                    end: module.mapped.end,
                    path: module.mapped.path.clone(),
                    build_id: module.mapped.build_id.as_ref().ok().and_then(Option::as_ref).map(ToString::to_string),
                    symbols: SymbolState {
                        kind: kind.to_owned(),
                        source: from_dump.then(|| "the dump".to_owned()),
                        file: module.code.place.as_ref().map(ToString::to_string),
                        debug_file: debug.place.as_ref().map(ToString::to_string),
                        tried: tried.map(attempt_words).collect(),
                        verification: module.verification(),
                    },
                })
            })
            .collect()
    }
}

/// The best kind of names among a module's tables.
fn best_source(sources: &[SymbolSource]) -> &'static str {
    let has = |kind| sources.iter().any(|source| source.kind == kind && source.problem.is_none() && source.size > 0);
    let best = [
        SourceKind::Dwarf,
        SourceKind::Symbols,
        SourceKind::GoTable,
        SourceKind::MiniSymbols,
        SourceKind::DynamicSymbols,
    ];
    best.into_iter().find(|kind| has(*kind)).map_or("none", source_word)
}

fn source_word(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Dwarf => "dwarf",
        SourceKind::Symbols => "symtab",
        SourceKind::GoTable => "gopclntab",
        SourceKind::MiniSymbols => "minidebuginfo",
        SourceKind::DynamicSymbols => "dynsym",
    }
}

/// Whether what came of a file is told although nothing is missing.
fn is_telling(outcome: &Outcome) -> bool {
    outcome.is_refusal() || matches!(outcome, Outcome::AcceptedUnverified(_))
}

fn attempt_words(attempt: &Attempt) -> String {
    format!("{}: {}", attempt.place, attempt.outcome)
}
