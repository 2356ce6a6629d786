//! Signatures of methods, as the runtime's debuggers write them: `(System.Object, Int32, Byte[])`.

use super::damage::corrupt;
use crate::model::{Addr, Gap, Known};

/// Most parts of a signature, and the depth of types in types.
const MAX_PARTS: usize = 512;
const MAX_DEPTH: usize = 32;

// Source: ECMA-335 II.23.2.1 (calling conventions), II.23.1.16 (element types).
const GENERIC: u8 = 0x10;

/// A compressed number and how many bytes it takes. Source: ECMA-335 II.23.2.
pub(super) fn compressed(bytes: &[u8]) -> Option<(u32, usize)> {
    let first = u32::from(*bytes.first()?);
    let byte = |index: usize| bytes.get(index).map(|byte| u32::from(*byte));
    match first {
        0..=0x7f => Some((first, 1)),
        0x80..=0xbf => Some(((first & 0x3f) << 8 | byte(1)?, 2)),
        0xc0..=0xdf => Some(((first & 0x1f) << 24 | byte(1)? << 16 | byte(2)? << 8 | byte(3)?, 4)),
        _ => None,
    }
}

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
    let mut signature = Signature { bytes: blob, left: MAX_PARTS, name, names };
    signature.method(0).map(|(_, parameters)| format!("({})", parameters.join(", ")))
}

struct Signature<'a> {
    bytes: &'a [u8],
    left: usize,
    name: &'a dyn Fn(u32) -> Known<String>,
    names: &'a Names<'a>,
}

impl Signature<'_> {
    fn cut() -> Gap {
        corrupt("a signature is cut")
    }

    fn byte(&mut self) -> Known<u8> {
        let (first, rest) = self.bytes.split_first().ok_or_else(Self::cut)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Known<u32> {
        let (number, taken) = compressed(self.bytes).ok_or_else(Self::cut)?;
        self.bytes = self.bytes.get(taken..).unwrap_or_default();
        Ok(number)
    }

    /// What it returns, and its parameters.
    fn method(&mut self, depth: usize) -> Known<(String, Vec<String>)> {
        let convention = self.byte()?;
        if convention & GENERIC != 0 {
            self.number()?;
        }
        let count = self.number()?;
        let returns = self.kind(depth)?;
        // No room for what a damaged count says: each takes a byte at least.
        let parameters = (0..count).map(|_| self.kind(depth)).collect::<Known<Vec<String>>>()?;
        Ok((returns, parameters))
    }

    /// A type.
    fn kind(&mut self, depth: usize) -> Known<String> {
        self.left = self.left.checked_sub(1).ok_or_else(|| corrupt("a signature is too long"))?;
        let inner = depth.saturating_add(1);
        if inner > MAX_DEPTH {
            return Err(corrupt("types in a signature are nested too deep"));
        }
        Ok(match self.byte()? {
            0x0f => format!("{}*", self.kind(inner)?),
            0x10 => format!("{} ByRef", self.kind(inner)?),
            0x11 | 0x12 => {
                let token = self.number()?;
                (self.name)(token)?
            }
            0x13 => argument(self.names.of_type, "!", self.number()?),
            0x1e => argument(self.names.of_method, "!!", self.number()?),
            0x14 => {
                let element = self.kind(inner)?;
                let rank = self.number()?;
                for _ in 0..2 {
                    for _ in 0..self.number()? {
                        self.number()?;
                    }
                }
                format!("{element}[{}]", ",".repeat(usize::try_from(rank).unwrap_or(0).clamp(1, 32).saturating_sub(1)))
            }
            0x15 => {
                let generic = self.kind(inner)?;
                let count = self.number()?;
                let arguments = (0..count).map(|_| self.kind(inner)).collect::<Known<Vec<String>>>()?;
                with_arguments(&generic, &arguments)
            }
            0x1b => {
                let (returns, parameters) = self.method(inner)?;
                format!("{returns} ({})", parameters.join(", "))
            }
            0x1d => format!("{}[]", self.kind(inner)?),
            // The runtime's own, in signatures that it makes: a type handle. Source: dotnet/runtime src/coreclr/inc/corhdr.h,
            // ELEMENT_TYPE_INTERNAL.
            0x21 => {
                let (handle, rest) = self.bytes.split_first_chunk::<8>().ok_or_else(Self::cut)?;
                self.bytes = rest;
                short(&(self.names.handle)(Addr(u64::from_le_bytes(*handle)))?).to_owned()
            }
            // The same with a byte that tells whether it is required: ELEMENT_TYPE_CMOD_INTERNAL.
            0x22 => {
                self.bytes = self.bytes.get(9..).ok_or_else(Self::cut)?;
                self.kind(inner)?
            }
            // Modifiers: II.23.2.7.
            0x1f | 0x20 => {
                self.number()?;
                self.kind(inner)?
            }
            0x41 | 0x45 => self.kind(inner)?,
            other => primitive(other).ok_or_else(|| corrupt(&format!("element type {other:#x}")))?.to_owned(),
        })
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

/// What the debuggers call a type that has no token.
pub(in crate::runtimes::coreclr) fn primitive(element: u8) -> Option<&'static str> {
    Some(match element {
        0x01 => "Void",
        0x02 => "Boolean",
        0x03 => "Char",
        0x04 => "SByte",
        0x05 => "Byte",
        0x06 => "Int16",
        0x07 => "UInt16",
        0x08 => "Int32",
        0x09 => "UInt32",
        0x0a => "Int64",
        0x0b => "UInt64",
        0x0c => "Single",
        0x0d => "Double",
        0x0e => "System.String",
        0x16 => "System.TypedReference",
        0x18 => "IntPtr",
        0x19 => "UIntPtr",
        0x1c => "System.Object",
        _ => return None,
    })
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
    fn numbers_take_one_two_or_four_bytes() {
        // The examples of II.23.2.
        for (bytes, number, taken) in [
            (&[0x03][..], 0x03, 1),
            (&[0x7f], 0x7f, 1),
            (&[0x80, 0x80], 0x80, 2),
            (&[0xae, 0x57], 0x2e57, 2),
            (&[0xbf, 0xff], 0x3fff, 2),
            (&[0xc0, 0, 0x40, 0], 0x4000, 4),
            (&[0xdf, 0xff, 0xff, 0xff], 0x1fff_ffff, 4),
        ] {
            assert_eq!(compressed(bytes), Some((number, taken)));
        }
        assert_eq!(compressed(&[0xff]), None);
        assert_eq!(compressed(&[0xc0, 0]), None);
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
