//! A command's words, read by its declaration.
//!
//! Options are written with one dash or two, in any case, and may be shortened while that is unique (`-al` is `-all`). A
//! value follows as the next word, or behind `=` or `:`. What is declared nowhere is refused with the nearest word.

use crate::error::Error;
use crate::model::Addr;
use crate::views::{Arg, Arguments, Arity, Given, Kind, clash};

/// What a name stands for in this dump.
pub(super) trait Places {
    /// The address of a symbol (`g_orders`, `g_orders+0x8`), a register (`$rsp`), or, for [`Kind::Module`], of a module.
    fn address(&self, kind: Kind, name: &str) -> Option<Addr>;
}

/// Reads the words behind a command's name. `preset` are those that an alias stands for: typing one of them too changes
/// nothing, typing another value goes before.
pub(super) fn parse(
    command: &str,
    declared: &'static [Arg],
    preset: &[&str],
    words: &[String],
    places: &dyn Places,
) -> Result<Arguments, Error> {
    let mut reading = Reading { command, declared, places, given: Arguments::default(), operands: 0 };
    reading.read(&mut preset.iter().copied(), &Arguments::default())?;
    let preset = reading.given.clone();
    reading.operands = 0;
    reading.read(&mut words.iter().map(String::as_str), &preset)?;
    for argument in declared {
        if let Arg::Operand(name, kind, Arity::One, doc) = argument
            && !reading.given.has(name)
        {
            return Err(Error::Usage(format!("{command} takes {}: {doc}", kind.placeholder())));
        }
    }
    match clash(declared, |name| reading.given.has(name)) {
        Some((one, other)) => Err(Error::Usage(format!("{command} takes {one} or {other}, not both"))),
        None => Ok(reading.given),
    }
}

struct Reading<'a> {
    command: &'a str,
    declared: &'static [Arg],
    places: &'a dyn Places,
    given: Arguments,
    /// Operands read so far.
    operands: usize,
}

impl<'a> Reading<'a> {
    fn read(&mut self, words: &mut dyn Iterator<Item = &str>, preset: &Arguments) -> Result<(), Error> {
        let mut only_operands = false;
        while let Some(word) = words.next() {
            if word == "--" && !only_operands {
                only_operands = true;
                continue;
            }
            let Some(option) = option(word).filter(|_| !only_operands) else {
                self.operand(word)?;
                continue;
            };
            let (typed, inline) = match option.split_once(['=', ':']) {
                Some((name, value)) => (name, Some(value)),
                None => (option, None),
            };
            let argument = self.option(word, typed)?;
            let name = argument.name();
            if self.given.has(name) && !preset.has(name) {
                return Err(Error::Usage(format!("-{name} is given twice")));
            }
            let given = match (argument, inline) {
                (Arg::Flag(..) | Arg::Implied(..), None) => Given::Set,
                (Arg::Flag(..) | Arg::Implied(..), Some(_)) => {
                    return Err(Error::Usage(format!("-{name} takes no value")));
                }
                (Arg::Refused(_, why), _) => return Err(Error::Failed(format!("-{name}: {why}"))),
                (Arg::Apart(..), _) => continue,
                (Arg::Value(_, kind, _), _) | (Arg::Operand(_, kind, ..), _) => {
                    let missing = || Error::Usage(format!("-{name} takes a value: -{name} {}", kind.placeholder()));
                    let text = inline.or_else(|| words.next()).ok_or_else(missing)?;
                    self.value(*kind, text).map_err(|why| Error::Usage(format!("-{name}: {why}")))?
                }
            };
            self.given.set(name, given);
        }
        Ok(())
    }

    /// The declared option that a word means.
    fn option(&self, word: &str, typed: &str) -> Result<&'static Arg, Error> {
        let options = || self.declared.iter().filter(|argument| argument.is_option());
        if let Some(exact) = options().find(|argument| argument.name() == typed) {
            return Ok(exact);
        }
        if let Some(exact) = options().find(|argument| argument.name().eq_ignore_ascii_case(typed)) {
            return Ok(exact);
        }
        let lower = typed.to_ascii_lowercase();
        let mut longer = options().filter(|argument| !lower.is_empty() && argument.name().starts_with(&lower));
        match (longer.next(), longer.next()) {
            (Some(only), None) => Ok(only),
            (Some(first), Some(second)) => {
                Err(Error::Usage(format!("{word} may be -{} or -{}", first.name(), second.name())))
            }
            (None, _) => {
                let names = options().map(Arg::name);
                let said = self.instead(nearest(typed, names));
                Err(Error::Usage(format!("{} has no option '{word}'{said}", self.command)))
            }
        }
    }

    fn operand(&mut self, word: &str) -> Result<(), Error> {
        let mut slots = self.declared.iter().filter_map(|argument| match argument {
            Arg::Operand(name, kind, arity, _) => Some((*name, *kind, *arity)),
            _ => None,
        });
        let slot = slots.clone().nth(self.operands).or_else(|| slots.next_back().filter(|slot| slot.2 == Arity::Rest));
        let Some((name, kind, arity)) = slot else { return Err(self.surplus(word)) };
        let before = self.given.text(name).filter(|_| arity == Arity::Rest);
        let word = before.map_or_else(|| word.to_owned(), |before| format!("{before} {word}"));
        let given = self.value(kind, &word).map_err(Error::Usage)?;
        self.operands = self.operands.saturating_add(1);
        self.given.set(name, given);
        Ok(())
    }

    fn surplus(&self, word: &str) -> Error {
        let options = self.declared.iter().filter(|argument| argument.is_option()).map(Arg::name);
        Error::Usage(format!("'{word}' means nothing to {}{}", self.command, self.instead(nearest(word, options))))
    }

    /// The end of a refusal: what was meant, and what there is.
    fn instead(&self, meant: Option<&str>) -> String {
        let words: Vec<String> = self.declared.iter().filter_map(Arg::usage).collect();
        let takes = if words.is_empty() { "no arguments".to_owned() } else { words.join(" ") };
        match meant {
            Some(name) => format!("; did you mean '-{name}'? It takes {takes}"),
            None => format!(": it takes {takes}"),
        }
    }

    fn value(&self, kind: Kind, text: &str) -> Result<Given, String> {
        match kind {
            Kind::Count | Kind::Bytes | Kind::Thread | Kind::Index => {
                match if kind == Kind::Bytes { bytes(text) } else { number(text) } {
                    Some(number) => Ok(Given::Number(number)),
                    None => Err(format!("'{text}' is no number")),
                }
            }
            Kind::Address => match address(text).or_else(|| self.places.address(kind, text)) {
                Some(address) => Ok(Given::Address(address)),
                None => {
                    Err(format!("'{text}' is no address (hexadecimal, with or without 0x), and no symbol is called so"))
                }
            },
            Kind::Module => match self.places.address(kind, text).or_else(|| address(text)) {
                Some(address) => Ok(Given::Address(address)),
                None => Err(format!("'{text}' is no module and no address; 'modules' lists both")),
            },
            Kind::Directory | Kind::Command | Kind::Word | Kind::Expression => Ok(Given::Text(text.to_owned())),
        }
    }
}

/// The text behind the dashes of an option; a number with a sign is none.
fn option(word: &str) -> Option<&str> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some(name)
}

/// Decimal, or hexadecimal behind `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

/// A number, or one of KiB, MiB or GiB as columns show it: `4K`, `1M`.
fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.char_indices().next_back()? {
        (end, 'k' | 'K') => (text.get(..end)?, 10),
        (end, 'm' | 'M') => (text.get(..end)?, 20),
        (end, 'g' | 'G') => (text.get(..end)?, 30),
        _ => (text, 0),
    };
    number(digits)?.checked_mul(1 << shift)
}

/// Hexadecimal, with or without `0x`; WinDbg's grouping mark is left out.
pub(super) fn address(text: &str) -> Option<Addr> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let digits = digits.replace('`', "");
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| u64::from_str_radix(&digits, 16).ok().map(Addr))?
}

/// The name that differs from what was typed by a slip of the fingers, if there is one.
pub fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer words are no names of ours.
    const LONGEST: usize = 64;
    if typed.len() > LONGEST {
        return None;
    }
    let typed = typed.trim_start_matches('-').to_ascii_lowercase();
    let far = typed.chars().count() / 3;
    names
        .filter(|name| name.len() > 1)
        .map(|name| (strsim::damerau_levenshtein(&typed, name), name))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: &[Arg] = &[
        Arg::Flag("all", "every thread"),
        Arg::Flag("a", "variables"),
        Arg::Value("n", Kind::Count, "frames"),
        Arg::Value("type", Kind::Word, "a type"),
        Arg::Refused("ms", "no"),
        Arg::Apart("all", &["type", "n"]),
    ];
    const MEMORY: &[Arg] =
        &[Arg::Operand("address", Kind::Address, Arity::One, "where"), Arg::Value("n", Kind::Bytes, "")];

    struct Symbols;

    impl Places for Symbols {
        fn address(&self, _: Kind, name: &str) -> Option<Addr> {
            (name == "g_orders").then_some(Addr(0x1000))
        }
    }

    fn read(declared: &'static [Arg], line: &str) -> Result<Arguments, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse("it", declared, &[], &words, &Symbols).map_err(|error| error.to_string())
    }

    #[test]
    fn an_option_is_spelled_with_one_dash_or_two_in_any_case_and_shortened() {
        for line in ["-all", "--all", "-ALL", "--All", "-al"] {
            assert!(read(STACK, line).unwrap().has("all"), "{line}");
        }
        let short = read(STACK, "-a").unwrap();
        assert!(short.has("a") && !short.has("all"), "a whole name goes before the start of a longer one");
        assert_eq!(read(STACK, "-Type Order").unwrap().text("type"), Some("Order"));
    }

    #[test]
    fn a_value_is_the_next_word_or_stands_behind_a_sign() {
        for line in ["-n 3", "--n=3", "-n:3", "-n 0x3"] {
            assert_eq!(read(STACK, line).unwrap().number("n"), Some(3), "{line}");
        }
    }

    #[test]
    fn a_size_may_be_of_a_larger_unit() {
        let size = |text: &str| read(MEMORY, &format!("1000 -n {text}")).ok().and_then(|read| read.number("n"));
        assert_eq!([size("4096"), size("4k"), size("4K")], [Some(4096); 3]);
        assert_eq!([size("3M"), size("2g")], [Some(3 << 20), Some(2 << 30)]);
        assert_eq!([size("k"), size("4kk"), size("-1k"), size("99999999999g")], [None; 4]);
        assert!(read(STACK, "-n 4k").is_err(), "a count has no unit");
    }

    #[test]
    fn what_is_not_declared_is_refused_with_the_nearest_word() {
        assert!(read(STACK, "--tpye x").unwrap_err().contains("'-type'"));
        assert!(read(STACK, "all").unwrap_err().contains("'-all'"), "a dash was forgotten");
        assert!(read(STACK, "99999").unwrap_err().contains("means nothing to it"));
        assert!(read(STACK, "-x").unwrap_err().contains("-n N"), "what there is, is said");
        assert!(read(&[], "nonsense").unwrap_err().contains("no arguments"));
    }

    #[test]
    fn nothing_is_given_twice_and_no_value_is_left_out_or_made_up() {
        assert!(read(STACK, "-n 3 -n 4").unwrap_err().contains("twice"));
        assert!(read(STACK, "-all -all").unwrap_err().contains("twice"));
        assert!(read(STACK, "-n").unwrap_err().contains("takes a value"));
        assert!(read(STACK, "-n three").unwrap_err().contains("'three' is no number"));
        assert!(read(STACK, "-n -3").unwrap_err().contains("'-3' is no number"));
        assert!(read(STACK, "-n 99999999999999999999").unwrap_err().contains("is no number"));
        assert!(read(STACK, "-all=yes").unwrap_err().contains("takes no value"));
        assert!(read(MEMORY, "").unwrap_err().contains("takes ADDR"));
        assert!(read(MEMORY, "1000 2000").unwrap_err().contains("'2000' means nothing"));
    }

    #[test]
    fn arguments_that_do_not_go_together_are_refused() {
        assert_eq!(read(STACK, "-n 3 -all").unwrap_err(), "it takes -all or -n N, not both");
        assert!(read(STACK, "-n 3 -type x").is_ok());
    }

    #[test]
    fn an_option_that_is_refused_says_why() {
        assert_eq!(read(STACK, "-ms").unwrap_err(), "-ms: no");
    }

    #[test]
    fn an_address_is_hexadecimal_or_the_name_of_a_symbol() {
        for line in ["1000", "0x1000", "0x0000`00001000", "g_orders"] {
            assert_eq!(read(MEMORY, line).unwrap().address("address"), Some(Addr(0x1000)), "{line}");
        }
        assert!(read(MEMORY, "g_nothing").is_err());
        assert!(read(MEMORY, "0x").is_err());
        assert!(read(MEMORY, "11111111111111111").is_err(), "17 digits");
    }

    #[test]
    fn what_an_alias_stands_for_may_be_typed_too() {
        let words = ["-a".to_owned(), "-n".to_owned(), "4".to_owned()];
        let read = parse("eestack", STACK, &["-a", "-n", "3"], &words, &Symbols).unwrap();
        assert!(read.has("a"));
        assert_eq!(read.number("n"), Some(4));
    }

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("thraeds", ["threads", "stack"].into_iter()), Some("threads"));
        assert_eq!(nearest("analyse", ["analyze", "collect"].into_iter()), Some("analyze"));
        assert_eq!(nearest("nonsense", ["threads", "stack"].into_iter()), None);
    }
}
