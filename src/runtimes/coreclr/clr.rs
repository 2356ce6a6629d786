//! The runtime of one target: where its variables are, and members of its structures by name.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::code::Places;
use super::descriptor::Layout;
use crate::capture::{Capture, Memory, Process};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Arch, Gap, Known};
use crate::target::{Search, Target};

/// Whose description of the structures is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Described {
    /// The dump's own.
    Own,
    /// The one that this program has of the major version.
    Bundled,
}

/// The runtime of a target.
pub struct Clr {
    /// The target.
    pub target: Arc<Target>,
    pub(super) layout: Layout,
    /// What is known of places in its code.
    pub(super) places: Places,
    /// Addresses of global variables.
    pub(super) globals: FxHashMap<String, Addr>,
    /// Position of the runtime's module in the target's list.
    pub module: usize,
    /// `9.0.22`; `None` where the dump does not tell.
    pub version: Option<String>,
    /// `9.0.2226.52218`; `None` where the dump does not hold it.
    pub full_version: Option<String>,
    /// The commit of dotnet/runtime; `None` where the dump does not hold it.
    pub commit: Option<String>,
    /// Whose description is used.
    pub described: Described,
}

impl Clr {
    pub(super) fn memory(&self) -> &Memory {
        &self.target.memory
    }

    /// The address of a member.
    pub(super) fn at(&self, base: Addr, kind: &str, member: &str) -> Known<Addr> {
        plus(base, self.layout.offset(kind, member)?)
    }

    pub(super) fn ptr(&self, base: Addr, kind: &str, member: &str) -> Known<Addr> {
        Ok(self.memory().ptr(self.at(base, kind, member)?)?)
    }

    pub(super) fn u32(&self, base: Addr, kind: &str, member: &str) -> Known<u32> {
        Ok(self.memory().u32(self.at(base, kind, member)?)?)
    }

    pub(super) fn u16(&self, base: Addr, kind: &str, member: &str) -> Known<u16> {
        Ok(self.memory().u16(self.at(base, kind, member)?)?)
    }

    pub(super) fn u8(&self, base: Addr, kind: &str, member: &str) -> Known<u8> {
        Ok(self.memory().u8(self.at(base, kind, member)?)?)
    }

    /// The address of a global variable.
    pub(super) fn variable(&self, name: &str) -> Known<Addr> {
        let found = self.globals.get(name).copied().filter(|at| at.0 != 0);
        found.ok_or_else(|| Gap::NoLayout(format!("the place of {name} in this version of .NET")))
    }

    /// The pointer in a global variable.
    pub(super) fn global(&self, name: &str) -> Known<Addr> {
        Ok(self.memory().ptr(self.variable(name)?)?)
    }

    /// The first part of its version.
    pub(super) fn major(&self) -> Option<u32> {
        self.version.as_deref().and_then(major)
    }

    /// The list of threads.
    pub(super) fn thread_store(&self) -> Known<Addr> {
        let store = self.global("ThreadStore")?;
        if store.0 == 0 {
            return Err(Gap::NotRecorded("the runtime was not started yet: it has no list of threads".to_owned()));
        }
        Ok(store)
    }

    /// Whether the collector is the server's, with a heap for each processor.
    pub fn is_server(&self) -> Known<bool> {
        // Source: dotnet/runtime src/coreclr/gc/gcinterface.h, enum GCHeapType.
        match self.memory().u32(self.variable("GCHeapType")?)? {
            1 => Ok(false),
            2 => Ok(true),
            other => Err(Gap::Corrupt(format!("a collector of kind {other}"))),
        }
    }
}

/// The first part of a version.
pub(super) fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

/// A place in a structure.
pub(super) fn plus(base: Addr, offset: u64) -> Known<Addr> {
    base.plus(offset).ok_or_else(|| Gap::Corrupt(format!("a structure at {base} leaves the address space")))
}

impl Clr {
    /// The runtime of a major version in memory written by hand; `globals`: variables with their addresses.
    #[cfg(test)]
    pub(super) fn by_hand(major: u32, memory: Memory, globals: &[(&str, u64)]) -> Clr {
        Clr::written(major, memory, globals).unwrap()
    }

    /// The same, for what reads any bytes.
    pub(super) fn written(major: u32, memory: Memory, globals: &[(&str, u64)]) -> Result<Clr, Error> {
        let unknown = || Gap::NotRecorded("not of interest".to_owned());
        let process = Process {
            pid: Err(unknown()),
            parent: Err(unknown()),
            name: Err(unknown()),
            args: Err(unknown()),
            uid: Err(unknown()),
        };
        let capture = Capture {
            path: "core".into(),
            format: "written by hand",
            arch: Arch::X86_64,
            memory,
            modules: Vec::new(),
            threads: Vec::new(),
            process,
            cause: Ok(None),
            files: None,
            assemblies: Vec::new(),
            facts: None,
            kept: Vec::new(),
            problems: Vec::new(),
            file_size: 0,
            announced: 0,
        };
        Ok(Clr {
            target: Arc::new(Target::open(Arc::new(capture), &Search::default(), &Job::default())?),
            layout: Layout { own: None, bundled: super::descriptor::bundled(major) },
            globals: globals.iter().map(|(name, at)| ((*name).to_owned(), Addr(*at))).collect(),
            module: 0,
            version: None,
            full_version: None,
            commit: None,
            described: Described::Bundled,
            places: Places::default(),
        })
    }
}
