//! A module's debug file and the names in its files, looked for when they are first asked for.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use symbols::{Elf, Located, ModuleSymbols, Wanted};

use super::Module;

/// The names of a module.
#[derive(Default)]
pub(super) struct Names {
    /// With its debug file, or where it is known to have none.
    complete: OnceLock<ModuleSymbols>,
    /// Without, because a place did not answer.
    provisional: OnceLock<ModuleSymbols>,
}

impl Names {
    fn made(&self) -> Option<&ModuleSymbols> {
        self.complete.get().or(self.provisional.get())
    }
}

impl Module {
    /// Whether no names of it are at hand: they were looked for, and neither a file nor the dump tells any. Reads none: what nobody
    /// has looked for yet may be there.
    pub fn lacks_symbols(&self) -> bool {
        let is_told = |symbols: &ModuleSymbols| symbols.sources().iter().any(|source| source.size > 0);
        !self.mapped.is_vdso() && self.symbols.made().is_some_and(|symbols| !is_told(symbols))
    }

    /// The separate debug file; looked for on the first call, and again where a place did not answer the last time.
    pub fn debug(&self) -> Cow<'_, Located> {
        self.debug.get_or_ask(|| {
            if self.mapped.is_vdso() {
                return Located::default();
            }
            let found = self.code.elf.as_deref();
            self.locator.debug(
                &Wanted {
                    path: self.code.path().or(self.mapped.path.as_deref().map(Path::new)),
                    build_id: self
                        .mapped
                        .build_id
                        .as_ref()
                        .ok()
                        .and_then(Option::as_ref)
                        .or(found.and_then(Elf::build_id)),
                    machine: found.map(Elf::machine),
                    contents: None,
                },
                found,
            )
        })
    }

    /// The module's names; its files are opened on the first call. Where the place of its debug file does not answer, the names are those of
    /// its other files until [`Module::debug`] was asked again and found it: a question for one name waits for no place twice.
    pub fn symbols(&self) -> &ModuleSymbols {
        let names = &*self.symbols;
        if names.made().is_none() {
            self.debug();
        }
        let debug = self.debug.get();
        match (debug.and_then(|debug| debug.elf.as_ref()), names.provisional.get()) {
            (None, Some(provisional)) => provisional,
            (None, None) if debug.is_none() => names.provisional.get_or_init(|| self.names_with(None)),
            (found, _) => names.complete.get_or_init(|| self.names_with(found)),
        }
    }

    fn names_with(&self, debug: Option<&Arc<Elf>>) -> ModuleSymbols {
        let exported = self.exports.as_ref().and_then(|exports| exports.file(&self.mapped)).map(Arc::new);
        // A kept file that is the code is there already; one that holds names alone comes after it.
        let kept = self.kept.iter().filter(|kept| self.code.place.is_none() && !kept.has_code()).cloned();
        ModuleSymbols::new(self.code.elf.clone(), debug.cloned())
            .with_kept(kept.chain(exported))
            .with_locator(Arc::clone(&self.locator))
    }
}
