//! What a command takes, declared once: parsing, errors, `help`, completion and the documentation are read from it.

use crate::model::Addr;

/// A kind of value: how it is written, and what completes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A decimal number.
    Count,
    /// A size or a number of bytes, decimal; `4k`, `1M` and `2G` are KiB, MiB and GiB.
    Bytes,
    /// An address, hexadecimal with or without `0x`.
    Address,
    /// An OS thread id, decimal.
    Thread,
    /// The position of a thread in the one order, decimal.
    Index,
    /// An address, or the name of a module's file.
    Module,
    /// A directory of this machine.
    Directory,
    /// The name of a command.
    Command,
    /// Any word.
    Word,
    /// Words that name a value: `order->items[2]`.
    Expression,
}

impl Kind {
    /// How help writes such a value.
    pub fn placeholder(self) -> &'static str {
        match self {
            Kind::Count => "N",
            Kind::Bytes => "BYTES",
            Kind::Address => "ADDR",
            Kind::Module => "ADDR|FILE",
            Kind::Thread => "TID",
            Kind::Index => "INDEX",
            Kind::Directory => "DIR",
            Kind::Command => "NAME",
            Kind::Word => "WORD",
            Kind::Expression => "EXPR",
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
    /// Any number of words, read as one.
    Rest,
}

/// One argument of a command. Names have no dashes; a sentence says what each does.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// `-name`: on where it is given.
    Flag(&'static str, &'static str),
    /// `-name VALUE`.
    Value(&'static str, Kind, &'static str),
    /// `-name` is taken and changes nothing, since this is so anyway.
    Implied(&'static str, &'static str),
    /// `-name` is known from other tools and refused, for this reason.
    Refused(&'static str, &'static str),
    /// The first argument goes with none of the others; stands behind all of them.
    Apart(&'static str, &'static [&'static str]),
    /// A word that stands alone.
    Operand(&'static str, Kind, Arity, &'static str),
}

impl Arg {
    /// Its name, without dashes.
    pub fn name(&self) -> &'static str {
        match self {
            Arg::Flag(name, _)
            | Arg::Value(name, ..)
            | Arg::Implied(name, _)
            | Arg::Refused(name, _)
            | Arg::Apart(name, _)
            | Arg::Operand(name, ..) => name,
        }
    }

    /// What it does.
    pub fn doc(&self) -> &'static str {
        match self {
            Arg::Flag(_, doc)
            | Arg::Value(.., doc)
            | Arg::Implied(_, doc)
            | Arg::Refused(_, doc)
            | Arg::Operand(.., doc) => doc,
            Arg::Apart(..) => "",
        }
    }

    /// Whether it is written with a dash.
    pub fn is_option(&self) -> bool {
        match self {
            Arg::Flag(..) | Arg::Value(..) | Arg::Implied(..) | Arg::Refused(..) => true,
            Arg::Operand(..) | Arg::Apart(..) => false,
        }
    }

    /// As a list of arguments names it: `-t TID`, `ADDR`.
    pub fn label(&self) -> String {
        match self {
            Arg::Flag(name, _) | Arg::Implied(name, _) | Arg::Refused(name, _) | Arg::Apart(name, _) => {
                format!("-{name}")
            }
            Arg::Value(name, kind, _) => format!("-{name} {}", kind.placeholder()),
            Arg::Operand(_, kind, ..) => kind.placeholder().to_owned(),
        }
    }

    /// As a line of usage has it: `[-t TID]`; nothing for what is taken or refused for other tools' sake.
    pub fn usage(&self) -> Option<String> {
        match self {
            Arg::Implied(..) | Arg::Refused(..) | Arg::Apart(..) => None,
            Arg::Operand(_, _, Arity::One, _) => Some(self.label()),
            Arg::Operand(_, _, Arity::Rest, _) => Some(format!("[{}…]", self.label())),
            Arg::Flag(..) | Arg::Value(..) | Arg::Operand(..) => Some(format!("[{}]", self.label())),
        }
    }
}

/// Two of the arguments that are given (`has` tells by their names) and do not go together, as a list of arguments names them.
pub fn clash(declared: &[Arg], has: impl Fn(&str) -> bool) -> Option<(String, String)> {
    let label = |name: &str| declared.iter().find(|argument| argument.name() == name).map(Arg::label);
    let apart = declared.iter().filter_map(|argument| match argument {
        Arg::Apart(one, others) => Some((*one, *others)),
        _ => None,
    });
    let both = |(one, others): (&str, &[&str])| {
        let other = others.iter().find(|other| has(one) && has(other))?;
        Some((label(one)?, label(other)?))
    };
    apart.filter_map(both).next()
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

/// A value as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// A flag is on.
    Set,
    /// A number.
    Number(u64),
    /// An address.
    Address(Addr),
    /// A word.
    Text(String),
}

/// What was given of a command's arguments, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments(Vec<(&'static str, Given)>);

impl Arguments {
    /// Takes an argument away.
    pub fn unset(&mut self, name: &str) {
        self.0.retain(|(known, _)| *known != name);
    }

    /// Gives an argument a value, in place of what it had.
    pub fn set(&mut self, name: &'static str, given: Given) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, given));
    }

    /// The value of an argument.
    pub fn get(&self, name: &str) -> Option<&Given> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, given)| given)
    }

    /// Whether it was given: a flag is on.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The number given.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.get(name) {
            Some(Given::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// The address given.
    pub fn address(&self, name: &str) -> Option<Addr> {
        match self.get(name) {
            Some(Given::Address(address)) => Some(*address),
            _ => None,
        }
    }

    /// The word given.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Given::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The arguments as they are typed: operands, then options.
    pub fn words(&self, declared: &[Arg]) -> Vec<String> {
        let is_operand = |name: &str| {
            declared.iter().any(|argument| matches!(argument, Arg::Operand(operand, ..) if *operand == name))
        };
        let (operands, options): (Vec<_>, Vec<_>) = self.0.iter().partition(|(name, _)| is_operand(name));
        let mut words: Vec<String> = operands.iter().filter_map(|(_, given)| given.word()).collect();
        for (name, given) in options {
            words.push(format!("-{name}"));
            words.extend(given.word());
        }
        words
    }
}

impl Given {
    /// As it is typed; nothing for a flag.
    fn word(&self) -> Option<String> {
        match self {
            Given::Set => None,
            Given::Number(number) => Some(number.to_string()),
            Given::Address(address) => Some(address.to_string()),
            Given::Text(text) if text.is_empty() || text.contains(char::is_whitespace) => Some(format!("\"{text}\"")),
            Given::Text(text) => Some(text.clone()),
        }
    }
}
