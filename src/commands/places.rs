//! Names that stand for addresses in the opened dump: symbols, registers, modules.

use super::parse::{Places, address};
use crate::model::Addr;
use crate::session::Session;
use crate::views::{Focus, Kind};

/// The dump, and what is selected in it.
pub(super) struct InDump<'a> {
    pub(super) session: &'a Session,
    pub(super) focus: Focus,
}

impl Places for InDump<'_> {
    fn address(&self, kind: Kind, name: &str) -> Option<Addr> {
        let target = self.session.target().ok()?;
        if kind == Kind::Module
            && let Some(module) = target.modules.iter().find(|module| module.file_name() == Some(name))
        {
            return Some(module.mapped.base);
        }
        let (name, offset) = match name.split_once('+') {
            Some((name, offset)) => (name, address(offset)?.0),
            None => (name, 0),
        };
        let at = match name.strip_prefix(['$', '@']) {
            Some(register) => self.register(register)?,
            // A name of a module says in which one: `libc.so.6!stdout`, as WinDbg has it.
            None => match name.split_once(['!', '`']) {
                Some((module, symbol)) => target.lookup(symbol, Some(module))?,
                None => target.lookup(name.trim_start_matches('&'), None)?,
            },
        };
        at.plus(offset)
    }
}

impl InDump<'_> {
    /// A register of the selected thread, as the dump recorded it; `pc` and `sp` on every processor.
    fn register(&self, name: &str) -> Option<Addr> {
        let index = self.focus.thread.map_or(Some(0), |tid| self.session.index_of(tid))?;
        let registers = self.session.os_threads().get(index)?.registers.as_ref().ok()?;
        match name {
            "pc" => registers.pc(),
            "sp" => registers.sp(),
            name => registers.iter().find(|(known, _)| *known == name).and_then(|(_, value)| value.map(Addr)),
        }
    }
}
