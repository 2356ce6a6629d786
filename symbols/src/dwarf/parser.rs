//! The sections of one file as gimli reads them, with the tables of abbreviations that its units share.

use std::sync::{Arc, Mutex, PoisonError};

use gimli::{Abbreviations, DebugAbbrevOffset, UnitHeader};
use rustc_hash::FxHashMap;

use super::sections::Reader;
use crate::Error;

/// Tables of abbreviations beyond this many are read again for each unit.
const MAX_TABLES: usize = 1 << 14;

/// What parses the units of one file.
pub(super) struct Parser<'a> {
    pub(super) dwarf: gimli::Dwarf<Reader<'a>>,
    /// Tables of abbreviations by their offset: dwz lets hundreds of units share one.
    abbreviations: Mutex<FxHashMap<DebugAbbrevOffset, Arc<Abbreviations>>>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(dwarf: gimli::Dwarf<Reader<'a>>) -> Parser<'a> {
        Parser { dwarf, abbreviations: Mutex::default() }
    }

    /// Parses a unit's own entry, with its abbreviations.
    pub(super) fn parse(&self, header: UnitHeader<Reader<'a>>) -> Result<gimli::Unit<Reader<'a>>, Error> {
        let offset = header.debug_abbrev_offset();
        let known = self.abbreviations.lock().unwrap_or_else(PoisonError::into_inner).get(&offset).cloned();
        let abbreviations = match known {
            Some(known) => known,
            None => {
                let read = Arc::new(self.dwarf.debug_abbrev.abbreviations(offset)?);
                let mut tables = self.abbreviations.lock().unwrap_or_else(PoisonError::into_inner);
                if tables.len() < MAX_TABLES {
                    tables.insert(offset, Arc::clone(&read));
                }
                read
            }
        };
        Ok(gimli::Unit::new_with_abbreviations(&self.dwarf, header, abbreviations)?)
    }
}
