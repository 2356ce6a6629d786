//! Signatures of methods, as the runtime's debuggers write them: `(System.Object, Int32, Byte[])`.

use std::cell::Cell;

pub(super) use super::compressed::compressed;
pub(in super::super) use super::compressed::primitive;
use super::damage::corrupt;
use super::sort::{Signature, Sort};
use crate::model::{Addr, Known};

/// Longest names of one signature together, in bytes.
const MAX_LENGTH: usize = 1 << 16;

/// What parts of a signature are called that its module does not tell.
pub(in super::super) struct Names<'a> {
    /// The type of a handle of the runtime's, of which signatures are made at run time.
    pub(in super::super) handle: &'a dyn Fn(Addr) -> Known<String>,
    /// The type arguments of the type; one that is not there is told by its number, `!0`.
    pub(in super::super) of_type: &'a [String],
    /// Those of the method, else `!!0`.
    pub(in super::super) of_method: &'a [String],
}

impl Names<'static> {
    /// Nothing has a name.
    pub(super) const NONE: Names<'static> =
        Names { handle: &|_| Err(corrupt("a signature refers to no type")), of_type: &[], of_method: &[] };
}

/// The parameters of a method. `name`: what the type of an index `TypeDefOrRef` is called.
pub(in super::super) fn parameters(
    blob: &[u8],
    name: &dyn Fn(u32) -> Known<String>,
    names: &Names<'_>,
) -> Known<String> {
    let spelling = Spelling { name, names, left: Cell::new(MAX_LENGTH) };
    Ok(format!("({})", spelling.all(&Signature::read(blob)?.parameters)?))
}

/// Spells types as the runtime's debuggers do.
struct Spelling<'a> {
    name: &'a dyn Fn(u32) -> Known<String>,
    names: &'a Names<'a>,
    /// Bytes that names may take.
    left: Cell<usize>,
}

impl Spelling<'_> {
    fn all(&self, sorts: &[Sort]) -> Known<String> {
        Ok(sorts.iter().map(|sort| self.of(sort)).collect::<Known<Vec<String>>>()?.join(", "))
    }

    /// Types in types are as deep as they were read.
    fn of(&self, sort: &Sort) -> Known<String> {
        Ok(match sort {
            Sort::Primitive(element) => {
                self.kept(primitive(*element).ok_or_else(|| corrupt("an element type"))?.to_owned())?
            }
            Sort::Named { coded, .. } => self.kept((self.name)(*coded)?)?,
            Sort::Handle(handle) => self.kept(short(&(self.names.handle)(*handle)?).to_owned())?,
            Sort::Argument(number) => self.kept(argument(self.names.of_type, "!", *number))?,
            Sort::MethodArgument(number) => self.kept(argument(self.names.of_method, "!!", *number))?,
            Sort::Pointer { to, is_reference: false } => format!("{}*", self.of(to)?),
            Sort::Pointer { to, is_reference: true } => format!("{} ByRef", self.of(to)?),
            Sort::Array { of, rank } => {
                let commas =
                    rank.and_then(|rank| usize::try_from(rank).ok()).unwrap_or(1).clamp(1, 32).saturating_sub(1);
                format!("{}[{}]", self.of(of)?, ",".repeat(commas))
            }
            Sort::Generic { of, arguments } => {
                let arguments = arguments.iter().map(|argument| self.of(argument)).collect::<Known<Vec<String>>>()?;
                with_arguments(&self.of(of)?, &arguments)
            }
            Sort::Function { returns, parameters } => format!("{} ({})", self.of(returns)?, self.all(parameters)?),
        })
    }

    fn kept(&self, name: String) -> Known<String> {
        self.left.set(self.left.get().checked_sub(name.len()).ok_or_else(|| corrupt("a signature is too long"))?);
        Ok(name)
    }
}

/// A type argument, as signatures have types; its number where it is not known.
fn argument(known: &[String], mark: &str, number: u32) -> String {
    let name = usize::try_from(number).ok().and_then(|index| known.get(index));
    name.map_or_else(|| format!("{mark}{number}"), |name| short(name).to_owned())
}

/// `Int32` of `System.Int32`, as in signatures: types that have no token are written without their namespace.
fn short(name: &str) -> &str {
    let plain = name.strip_prefix("System.").unwrap_or(name);
    let base = plain.trim_end_matches(['[', ']', ',', '*']);
    let is_primitive = (0x01..=0x19).filter_map(primitive).any(|primitive| primitive == base);
    if is_primitive { plain } else { name }
}

/// `Ns.Map<System.String>+Entry` of `Ns.Map`1+Entry`.
pub(in super::super) fn with_arguments(name: &str, arguments: &[String]) -> String {
    let mut left = arguments;
    let mut written: Vec<String> = Vec::new();
    for part in name.split('+') {
        let (plain, arity) = part.rsplit_once('`').unwrap_or((part, ""));
        let (own, rest) = left.split_at(arity.parse::<usize>().unwrap_or(0).min(left.len()));
        left = rest;
        written.push(if own.is_empty() { part.to_owned() } else { format!("{plain}<{}>", own.join(", ")) });
    }
    written.join("+")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(blob: &[u8]) -> Known<String> {
        let handle = |handle: Addr| Ok(format!("H{:x}", handle.0));
        let names = Names { handle: &handle, of_type: &["System.Int32".to_owned()], of_method: &[] };
        parameters(blob, &|token| Ok(format!("T{token}`1")), &names)
    }

    #[test]
    fn type_arguments_and_handles_have_names() {
        // Of a generic type of Int32: its argument, an array of it, one that is not known.
        assert_eq!(said(&[0, 3, 1, 0x13, 0, 0x1d, 0x13, 0, 0x13, 1]).as_deref(), Ok("(Int32, Int32[], !1)"));
        // As IL stubs have them.
        assert_eq!(said(&[0, 1, 1, 0x21, 0x34, 0x12, 0, 0, 0, 0, 0, 0]).as_deref(), Ok("(H1234)"));
        assert_eq!(said(&[0, 1, 1, 0x22, 1, 0x34, 0x12, 0, 0, 0, 0, 0, 0, 0x08]).as_deref(), Ok("(Int32)"));
        assert!(said(&[0, 1, 1, 0x21, 0x34]).is_err() && said(&[0, 1, 1, 0x22, 1]).is_err());
        assert_eq!(
            ["System.Int32", "System.Byte[]", "System.String", "Shop.Int32"].map(short),
            ["Int32", "Byte[]", "System.String", "Shop.Int32"]
        );
    }

    #[test]
    fn parameters_are_written_as_debuggers_write_them() {
        // II.23.2.1: HASTHIS, no parameters, returns void.
        assert_eq!(said(&[0x20, 0, 1]).as_deref(), Ok("()"));
        assert_eq!(said(&[0, 2, 1, 0x1c, 0x08]).as_deref(), Ok("(System.Object, Int32)"));
        assert_eq!(
            said(&[0, 3, 8, 0x10, 0x02, 0x0f, 0x01, 0x1d, 0x05]).as_deref(),
            Ok("(Boolean ByRef, Void*, Byte[])")
        );
        // A generic method of a list and of its own type argument.
        assert_eq!(said(&[0x10, 1, 2, 1, 0x15, 0x12, 9, 1, 0x0e, 0x1e, 0]).as_deref(), Ok("(T9<System.String>, !!0)"));
        assert_eq!(said(&[0, 1, 1, 0x14, 0x0e, 2, 0, 0]).as_deref(), Ok("(System.String[,])"));
        // dotnet-dump: Museum.Program.qsort(Void*, IntPtr, IntPtr, Int32 (Void*, Void*)).
        assert_eq!(said(&[0, 1, 1, 0x1b, 0, 2, 8, 0x0f, 1, 0x0f, 1]).as_deref(), Ok("(Int32 (Void*, Void*))"));
    }

    #[test]
    fn a_damaged_signature_is_a_gap() {
        let whole = [0x10, 1, 2, 1, 0x15, 0x12, 9, 1, 0x0e, 0x1e, 0];
        for len in 0..whole.len() {
            assert!(said(&whole[..len]).is_err(), "{len}");
        }
        assert!(said(&[0, 1, 1, 0x3f]).is_err());
        assert!(said(&[&[0, 1, 1][..], &[0x1d; 100]].concat()).is_err());
        assert!(said(&[0, 0xdf, 0xff, 0xff, 0xff, 1]).is_err());
        assert!(said(&[&[0, 0xdf, 0xff, 0xff, 0xff, 1][..], &[8; 2000]].concat()).is_err());
        assert!(said(&[0, 1, 1, 0x14, 0x0e, 2, 0xdf, 0xff, 0xff, 0xff]).is_err());
    }

    #[test]
    fn arguments_stand_where_they_were_declared() {
        // Names as ClrMD 4.2 writes them.
        let told = |name, arguments: &[&str]| {
            with_arguments(name, &arguments.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(told("Shop.Box`1", &["Shop.Customer"]), "Shop.Box<Shop.Customer>");
        assert_eq!(told("N.Map`2+Entry", &["A", "B"]), "N.Map<A, B>+Entry");
        assert_eq!(told("N.A`1+B`1", &["X", "Y"]), "N.A<X>+B<Y>");
        assert_eq!(told("N.A`3", &["X"]), "N.A<X>");
        assert_eq!(told("N.A`1", &[]), "N.A`1");
        assert_eq!(told("N.A`x", &["X"]), "N.A`x");
    }
}
