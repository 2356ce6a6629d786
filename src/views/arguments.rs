//! What a command takes, declared once: parsing, errors, `help`, completion and the documentation are read from it.

/// A kind of value: how it is written, and what completes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A decimal number.
    Count,
    /// A size or a number of bytes, decimal.
    Bytes,
    /// An address, hexadecimal with or without `0x`.
    Address,
    /// An OS thread id, decimal.
    Thread,
    /// The position of a thread in the one order, decimal.
    Index,
    /// A directory of this machine.
    Directory,
    /// The name of a command.
    Command,
    /// Any word.
    Word,
}

impl Kind {
    /// How help writes such a value.
    pub fn placeholder(self) -> &'static str {
        match self {
            Kind::Count => "N",
            Kind::Bytes => "BYTES",
            Kind::Address => "ADDR",
            Kind::Thread => "TID",
            Kind::Index => "INDEX",
            Kind::Directory => "DIR",
            Kind::Command => "NAME",
            Kind::Word => "WORD",
        }
    }
}

/// How many operands there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// None or one.
    Optional,
    /// Exactly one.
    One,
    /// Any number, none too.
    Many,
}

/// One argument of a command. Names have no dashes; a sentence says what each does.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// `-name`: on where it is given.
    Flag(&'static str, &'static str),
    /// `-name VALUE`.
    Value(&'static str, Kind, &'static str),
    /// A word that stands alone.
    Operand(&'static str, Kind, Arity, &'static str),
}

impl Arg {
    /// Its name, without dashes.
    pub fn name(&self) -> &'static str {
        match self {
            Arg::Flag(name, _) | Arg::Value(name, ..) | Arg::Operand(name, ..) => name,
        }
    }
}

/// Another name for a command, and the arguments that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: &'static str,
    /// Arguments that stand before those that are typed: `eestack` is `stack --all`.
    pub preset: &'static [&'static str],
}

impl Alias {
    /// The same command under another name.
    pub const fn of(name: &'static str) -> Alias {
        Alias { name, preset: &[] }
    }

    /// The same command with these arguments.
    pub const fn with(name: &'static str, preset: &'static [&'static str]) -> Alias {
        Alias { name, preset }
    }
}

/// What has to be in a dump for a view to have an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it speaks of every dump.
    Nothing,
    /// A process: threads, registers, mappings, modules.
    Process,
    /// Objects of a heap.
    Heap,
}
