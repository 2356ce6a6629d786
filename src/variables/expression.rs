//! Expressions over a target's variables: `order.items[2]->name`, `*head`, `&g_cache`, `(shop::Order*)0x55d0a040`.
//!
//! Input: the text, and the frame whose variables it may name. Output: a value. No code of the target is run: members, elements,
//! pointers and casts to pointers, nothing else. Names are those of the frame, of the object whose method it is, of global variables.

use std::cell::RefCell;

use rustc_hash::FxHashSet;
use symbols::{Member, SymbolKind, TypeId, TypeKind};

use super::place::Held;
use super::read::ValueReader;
use crate::error::Error;
use crate::job::Job;
use crate::model::value::{Behind, Content, Pointer, Scalar};
use crate::model::{Addr, Gap, Known, Type, Value};
use crate::target::{Module, Target};

/// Longest expression, in bytes.
const MAX_TEXT: usize = 4096;
/// Operators within operators.
const MAX_DEPTH: usize = 64;
/// Base classes and unnamed unions of a type that are looked through for a member.
const MAX_BASES: usize = 4096;
/// Global variables of one name that are told when it is not clear which is meant.
const MAX_TOLD: usize = 6;

/// A variable of a frame: the module that describes its type, the type, and where it is.
pub type Local<'a> = Known<(&'a Module, TypeId, Held)>;

/// What an expression may name.
pub struct Scope<'a> {
    /// The target.
    pub target: &'a Target,
    /// The variable of that name in the frame at hand.
    pub local: &'a dyn Fn(&str) -> Option<Local<'a>>,
    /// The module of that frame: its global variables go before those of others.
    pub module: Option<usize>,
}

/// What an expression is.
pub struct Evaluated {
    /// Its value.
    pub value: Value,
    /// The global variables that it names, each with its whole name and its module: what was typed may be a part of it.
    pub globals: Vec<String>,
}

/// The value of an expression; fails with what was not understood, or not there.
pub fn evaluate(scope: &Scope<'_>, text: &str, job: &Job) -> Result<Evaluated, Error> {
    if text.len() > MAX_TEXT {
        return Err(Error::Usage(format!("an expression of more than {MAX_TEXT} bytes")));
    }
    let globals = RefCell::new(Vec::new());
    let mut parser = Parser { scope, text, at: 0, job, globals: &globals };
    let operand = parser.unary(0)?;
    parser.skip_blanks();
    match parser.rest() {
        "" => Ok(Evaluated { value: operand.value(scope.target)?, globals: globals.take() }),
        rest => Err(Error::Usage(format!(
            "'{rest}' is not understood: names, '.', '->', '[N]', '*', '&' and '(TYPE*)' are; no code is run"
        ))),
    }
}

/// What a part of an expression is.
#[derive(Clone)]
enum Operand<'a> {
    /// A number that was typed.
    Number(u64),
    /// A value of a type.
    Typed(&'a Module, TypeId, Held),
    /// A pointer that no debug information describes: to so many more pointers, and then to the type.
    Pointer { module: &'a Module, to_type: TypeId, more: usize, to: Addr },
}

impl<'a> Operand<'a> {
    fn value(self, target: &'a Target) -> Result<Value, Error> {
        match self {
            Operand::Number(number) => {
                let content = Ok(Content::Scalar(Scalar::Unsigned(number.into())));
                Ok(Value { ty: None, location: None, content })
            }
            Operand::Typed(module, ty, held) => Ok(ValueReader::new(target, module).value(ty, &held)),
            Operand::Pointer { module, to_type, more, to } => {
                let name = module.symbols().type_name(to_type).unwrap_or_else(|| "?".to_owned());
                let pointee = format!("{name}{}", "*".repeat(more));
                let ty = Type { name: format!("{pointee}*").into(), size: Some(target.arch().pointer_size()) };
                let behind = Behind::Nothing;
                let pointer = Pointer { to, pointee: Some(pointee.into()), is_reference: false, behind };
                Ok(Value { ty: Some(ty), location: None, content: Ok(Content::Pointer(pointer)) })
            }
        }
    }

    /// What a pointer points to, moved by so many elements.
    fn target(self, target: &'a Target, index: u64) -> Result<Operand<'a>, Error> {
        match self {
            Operand::Number(_) => Err(Error::Failed("a number has no type: write (TYPE*)0x…".to_owned())),
            Operand::Pointer { module, to_type, more: 0, to } => {
                let at = element(target, module, to_type, to, index)?;
                Ok(Operand::Typed(module, to_type, Held::Memory(at)))
            }
            Operand::Pointer { module, to_type, more, to } => {
                let at = index.checked_mul(target.arch().pointer_size()).and_then(|offset| to.plus(offset));
                let to = at.ok_or_else(outside).and_then(|at| target.memory.ptr(at).map_err(unreadable))?;
                Ok(Operand::Pointer { module, to_type, more: more.saturating_sub(1), to })
            }
            Operand::Typed(module, ty, held) => {
                let reader = ValueReader::new(target, module);
                let (named, layout) = reader.layout(ty).map_err(unreadable)?;
                let TypeKind::Pointer(pointee) = layout.kind else {
                    return Err(Error::Failed(format!("{} is no pointer", named.name)));
                };
                let Some(pointee) = pointee else {
                    return Err(Error::Failed(format!(
                        "{} does not say what it points to: cast it, (TYPE*)…",
                        named.name
                    )));
                };
                let value = reader.value(ty, &held);
                if let Err(gap) = &value.content {
                    return Err(unreadable(gap.clone()));
                }
                let to = value.address().ok_or_else(|| Error::Failed("it is a null pointer".to_owned()))?;
                let at = element(target, module, pointee, to, index)?;
                Ok(Operand::Typed(module, pointee, Held::Memory(at)))
            }
        }
    }

    /// What a reference refers to; anything else as it is.
    fn referred(self, target: &'a Target) -> Result<Operand<'a>, Error> {
        if let Operand::Typed(module, ty, _) = &self {
            let (named, _) = ValueReader::new(target, module).layout(*ty).map_err(unreadable)?;
            if named.name.ends_with('&') {
                return self.target(target, 0);
            }
        }
        Ok(self)
    }

    /// A member of a structure, or of the one that it points to.
    fn member(self, target: &'a Target, name: &str) -> Result<Operand<'a>, Error> {
        match self.find_member(target, name)? {
            Ok(member) => Ok(member),
            Err(lacks) => Err(Error::Failed(lacks)),
        }
    }

    /// The same; the sentence that it has none where it has none.
    fn find_member(self, target: &'a Target, name: &str) -> Result<Result<Operand<'a>, String>, Error> {
        let mut whole = self.referred(target)?;
        let pointed = match &whole {
            Operand::Pointer { .. } => true,
            Operand::Typed(module, ty, _) => {
                let (_, layout) = ValueReader::new(target, module).layout(*ty).map_err(unreadable)?;
                matches!(layout.kind, TypeKind::Pointer(_))
            }
            Operand::Number(_) => false,
        };
        if pointed {
            whole = whole.target(target, 0)?;
        }
        let Operand::Typed(module, ty, held) = whole else {
            return Err(Error::Failed(format!("a number has no member '{name}': write (TYPE*)0x…")));
        };
        let reader = ValueReader::new(target, module);
        let (named, _) = reader.layout(ty).map_err(unreadable)?;
        let mut search = MemberSearch { reader: &reader, name, seen: FxHashSet::default(), virtual_bases: false };
        let Some((member, offset)) = search.find(ty, 0).map_err(unreadable)? else {
            return Ok(Err(match search.virtual_bases {
                true => format!("{} has no member '{name}' but in a virtual base, which is not read", named.name),
                false => format!("{} has no member '{name}'", named.name),
            }));
        };
        if member.bits.is_some() {
            return Err(Error::Failed(format!("'{name}' is a bit field: show the whole structure")));
        }
        let (_, layout) = reader.layout(member.ty).map_err(unreadable)?;
        let part = reader.part(&held, offset, layout.size.unwrap_or(0)).map_err(unreadable)?;
        Ok(Ok(Operand::Typed(module, member.ty, part)))
    }

    fn element(self, target: &'a Target, index: u64) -> Result<Operand<'a>, Error> {
        let whole = self.referred(target)?;
        if let Operand::Typed(module, ty, held) = &whole {
            let reader = ValueReader::new(target, module);
            let (named, layout) = reader.layout(*ty).map_err(unreadable)?;
            if let TypeKind::Array { element, count, dimensions } = layout.kind {
                if dimensions > 1 {
                    return Err(Error::Failed(format!(
                        "{} has {dimensions} dimensions, which are not told apart: show the whole, or cast its address to a pointer",
                        named.name
                    )));
                }
                if count.is_some_and(|count| index >= count) {
                    return Err(Error::Failed(format!("{} has no element {index}", named.name)));
                }
                let (_, of_element) = reader.layout(element).map_err(unreadable)?;
                let size =
                    of_element.size.ok_or_else(|| Error::Failed("the elements' size is not known".to_owned()))?;
                let offset = size.checked_mul(index).ok_or_else(outside)?;
                let part = reader.part(held, offset, size).map_err(unreadable)?;
                return Ok(Operand::Typed(module, element, part));
            }
        }
        whole.target(target, index)
    }

    fn address(self) -> Result<Operand<'a>, Error> {
        match self {
            Operand::Typed(module, ty, Held::Memory(to)) => Ok(Operand::Pointer { module, to_type: ty, more: 0, to }),
            Operand::Typed(_, _, Held::Bytes(_)) => {
                Err(Error::Failed("it is in a register and has no address".to_owned()))
            }
            Operand::Number(_) | Operand::Pointer { .. } => Err(Error::Failed("it has no address".to_owned())),
        }
    }
}

/// Where the element `index` of those at `to` is.
fn element(target: &Target, module: &Module, ty: TypeId, to: Addr, index: u64) -> Result<Addr, Error> {
    if index == 0 {
        return Ok(to);
    }
    let (_, layout) = ValueReader::new(target, module).layout(ty).map_err(unreadable)?;
    let size = layout.size.ok_or_else(|| Error::Failed(format!("the size of {} is not known", layout.name)))?;
    size.checked_mul(index).and_then(|offset| to.plus(offset)).ok_or_else(outside)
}

/// The search for a member in a type and its bases.
struct MemberSearch<'a> {
    reader: &'a ValueReader<'a>,
    name: &'a str,
    /// Types that were looked at: a base that is one several times has the same members each time.
    seen: FxHashSet<TypeId>,
    /// Whether there are bases that were not looked at.
    virtual_bases: bool,
}

impl MemberSearch<'_> {
    /// The member, with its offset from the start of the whole.
    fn find(&mut self, ty: TypeId, offset: u64) -> Known<Option<(Member, u64)>> {
        let mut waiting = vec![(ty, offset)];
        while let Some((ty, offset)) = waiting.pop() {
            if self.seen.len() > MAX_BASES {
                return Err(Gap::Unsupported(format!("a type of more than {MAX_BASES} bases")));
            }
            if !self.seen.insert(ty) {
                continue;
            }
            let (_, layout) = self.reader.layout(ty)?;
            let members = match layout.kind {
                TypeKind::Structure { members, virtual_bases, .. } => {
                    self.virtual_bases |= virtual_bases > 0;
                    members
                }
                TypeKind::Union(members) => members,
                _ => continue,
            };
            if let Some(member) = members.iter().find(|member| member.name.as_deref() == Some(self.name)) {
                return Ok(Some((member.clone(), offset.saturating_add(member.offset))));
            }
            let inner = members.iter().filter(|member| member.is_base || member.name.is_none());
            waiting.extend(inner.map(|member| (member.ty, offset.saturating_add(member.offset))));
        }
        Ok(None)
    }
}

/// A global variable that an expression may mean.
#[derive(Clone)]
struct Global<'a> {
    module: &'a Module,
    at: symbols::Svma,
    /// Its name, demangled.
    full: String,
}

impl Global<'_> {
    /// `shop::g_cart of orders-api`.
    fn told(&self) -> String {
        format!("{} of {}", self.full, self.module.file_name().unwrap_or("a module without a name"))
    }
}

/// A name without its ABI tags: `g_title` for `g_title[abi:cxx11]`.
fn without_tags(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, tagged)) = rest.split_once("[abi:") {
        plain.push_str(before);
        rest = tagged.split_once(']').map_or("", |(_, behind)| behind);
    }
    plain.push_str(rest);
    plain
}

struct Parser<'a, 's> {
    scope: &'s Scope<'a>,
    text: &'s str,
    at: usize,
    job: &'s Job,
    globals: &'s RefCell<Vec<String>>,
}

impl<'a, 's> Parser<'a, 's> {
    fn rest(&self) -> &'s str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at = self.at.saturating_add(rest.len().saturating_sub(rest.trim_start().len()));
    }

    fn takes(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let there = self.rest().starts_with(word);
        if there {
            self.at = self.at.saturating_add(word.len());
        }
        there
    }

    fn unary(&mut self, depth: usize) -> Result<Operand<'a>, Error> {
        self.job.check()?;
        if depth > MAX_DEPTH {
            return Err(Error::Usage("an expression of too many operators".to_owned()));
        }
        let inner = depth.saturating_add(1);
        if self.takes("*") {
            return self.unary(inner)?.target(self.scope.target, 0);
        }
        if self.takes("&") {
            return self.unary(inner)?.address();
        }
        if self.takes("(") {
            let inside = self.until_closed()?.trim();
            if let Some((name, more)) = pointer_type(inside) {
                let to = match self.unary(inner)? {
                    Operand::Number(number) => Addr(number),
                    other => address_in(&other.value(self.scope.target)?)?,
                };
                let (module, to_type) = self.type_named(name)?;
                return Ok(Operand::Pointer { module, to_type, more, to });
            }
            let mut whole = Parser { scope: self.scope, text: inside, at: 0, job: self.job, globals: self.globals };
            let operand = whole.unary(inner)?;
            whole.skip_blanks();
            if !whole.rest().is_empty() {
                return Err(Error::Usage(format!("'{}' is not understood", whole.rest())));
            }
            return self.postfix(operand);
        }
        let operand = self.primary()?;
        self.postfix(operand)
    }

    fn postfix(&mut self, mut operand: Operand<'a>) -> Result<Operand<'a>, Error> {
        loop {
            self.job.check()?;
            if self.takes("->") || self.takes(".") {
                let name = self.name();
                if name.is_empty() {
                    return Err(Error::Usage(format!("a member's name is missing before '{}'", self.rest())));
                }
                operand = operand.member(self.scope.target, name)?;
            } else if self.takes("[") {
                let index = self.number().ok_or_else(|| Error::Usage("[N] takes a number".to_owned()))?;
                if !self.takes("]") {
                    return Err(Error::Usage("a ']' is missing".to_owned()));
                }
                operand = operand.element(self.scope.target, index)?;
            } else {
                return Ok(operand);
            }
        }
    }

    fn primary(&mut self) -> Result<Operand<'a>, Error> {
        if let Some(number) = self.number() {
            return Ok(Operand::Number(number));
        }
        let name = self.name();
        if name.is_empty() {
            return Err(Error::Usage(match self.rest() {
                "" => "the expression ends too early".to_owned(),
                rest => format!("'{rest}' is not understood: a variable's name or an address is wanted"),
            }));
        }
        self.variable(name)
    }

    /// What stands up to the bracket that closes the one before.
    fn until_closed(&mut self) -> Result<&'s str, Error> {
        let mut open = 1usize;
        let rest = self.rest();
        for (at, c) in rest.char_indices() {
            match c {
                '(' => open = open.saturating_add(1),
                ')' => open = open.saturating_sub(1),
                _ => {}
            }
            if open == 0 {
                self.at = self.at.saturating_add(at).saturating_add(1);
                return Ok(rest.get(..at).unwrap_or_default());
            }
        }
        Err(Error::Usage("a ')' is missing".to_owned()))
    }

    /// A decimal number, or a hexadecimal one behind `0x`.
    fn number(&mut self) -> Option<u64> {
        self.skip_blanks();
        let rest = self.rest();
        let hex = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X"));
        let (digits, radix, before) = match hex {
            Some(digits) => (digits, 16, 2),
            None => (rest, 10, 0),
        };
        let len = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
        let number = u64::from_str_radix(digits.get(..len)?, radix).ok()?;
        self.at = self.at.saturating_add(before).saturating_add(len);
        Some(number)
    }

    /// A name with its scope and the arguments of its templates.
    fn name(&mut self) -> &'s str {
        self.skip_blanks();
        let rest = self.rest();
        let mut brackets = 0usize;
        let mut end = 0;
        for (at, c) in rest.char_indices() {
            let goes_on = match c {
                '<' if end > 0 => {
                    brackets = brackets.saturating_add(1);
                    true
                }
                '>' if brackets > 0 => {
                    brackets = brackets.saturating_sub(1);
                    true
                }
                _ if brackets > 0 => true,
                ':' => {
                    rest.get(at..).is_some_and(|text| text.starts_with("::"))
                        || rest.get(..at).is_some_and(|text| text.ends_with(':'))
                }
                _ => c.is_alphanumeric() || matches!(c, '_' | '$' | '~'),
            };
            if !goes_on {
                break;
            }
            end = at.saturating_add(c.len_utf8());
        }
        self.at = self.at.saturating_add(end);
        rest.get(..end).unwrap_or_default()
    }

    fn variable(&self, name: &str) -> Result<Operand<'a>, Error> {
        if let Some(name) = name.strip_prefix("::") {
            return self.global_operand(name);
        }
        if let Some(found) = self.local(name) {
            return found;
        }
        // In a method a name may be that of a member: a global variable of the same name is not meant then.
        match self.local("this") {
            None => self.global_operand(name),
            Some(Err(why)) => match self.global_operand(name) {
                Ok(_) => Err(Error::Failed(format!(
                    "'{name}' may be a member of the object whose method it is, which cannot be read ({why}); ::{name} is the global one"
                ))),
                Err(_) => {
                    Err(Error::Failed(format!("no variable '{name}' in this frame; of the object 'this': {why}")))
                }
            },
            Some(Ok(this)) => match this.find_member(self.scope.target, name)? {
                Ok(member) => Ok(member),
                Err(_) => self.global_operand(name),
            },
        }
    }

    fn local(&self, name: &str) -> Option<Result<Operand<'a>, Error>> {
        let found = (self.scope.local)(name)?;
        Some(found.map(|(module, ty, held)| Operand::Typed(module, ty, held)).map_err(unreadable))
    }

    fn global_operand(&self, name: &str) -> Result<Operand<'a>, Error> {
        let mut found = self.globals_named(name)?;
        let Some(first) = found.first().cloned() else {
            return Err(Error::Failed(format!("no variable '{name}' in this frame, nor a global one")));
        };
        if found.len() > 1 {
            found.truncate(MAX_TOLD);
            let told: Vec<String> = found.iter().map(Global::told).collect();
            return Err(Error::Failed(format!(
                "'{name}' may be {}: write more of the one that is meant",
                told.join(", ")
            )));
        }
        let at = first.module.addr(first.at).ok_or_else(outside)?;
        match first.module.symbols().global_type(first.at) {
            Some(ty) => {
                self.globals.borrow_mut().push(first.told());
                Ok(Operand::Typed(first.module, ty, Held::Memory(at)))
            }
            None => Err(Error::Failed(format!(
                "{} is at {at}, and no debug information tells its type: 'readmemory {at}', or cast it, (TYPE*){at}",
                first.told()
            ))),
        }
    }

    /// The global variables of that name, of those that go before others: those of the frame's module, those that are called exactly
    /// so and not only at the end.
    fn globals_named(&self, name: &str) -> Result<Vec<Global<'a>>, Error> {
        let last = name.rsplit("::").next().unwrap_or(name);
        let mut best: Option<(bool, bool)> = None;
        let mut found: Vec<Global<'a>> = Vec::new();
        for module in &self.scope.target.modules {
            self.job.check()?;
            for symbol in module.symbols().symbols(SymbolKind::Object) {
                if !symbol.name.contains(last) {
                    continue;
                }
                let full = symbols::demangle(&symbol.name);
                let plain = without_tags(&full);
                let exact = *symbol.name == *name || full == name || plain == name;
                let ends = || plain.strip_suffix(name).is_some_and(|scope| scope.ends_with("::"));
                if !exact && !ends() {
                    continue;
                }
                // What is called so in another module may be any library's own.
                let rank = (exact, self.scope.module == Some(module.index));
                if best.is_some_and(|best| rank < best) {
                    continue;
                }
                if best != Some(rank) {
                    found.clear();
                    best = Some(rank);
                }
                // Several names of one variable are one.
                if !found.iter().any(|known| known.module.index == module.index && known.at == symbol.svma) {
                    found.push(Global { module, at: symbol.svma, full: full.into_owned() });
                }
            }
        }
        Ok(found)
    }

    fn type_named(&self, name: &str) -> Result<(&'a Module, TypeId), Error> {
        for module in &self.scope.target.modules {
            self.job.check()?;
            if let Some(ty) = module.symbols().type_named(name) {
                return Ok((module, ty));
            }
        }
        Err(Error::Failed(format!("no debug information describes a structure '{name}'")))
    }
}

/// The type that a cast to a pointer names, and how many more pointers are between.
fn pointer_type(text: &str) -> Option<(&str, usize)> {
    let name = text.trim_end_matches(['*', ' ']);
    let stars = text.get(name.len()..)?.chars().filter(|c| *c == '*').count();
    let plain = ["struct ", "class ", "union "].iter().find_map(|word| name.strip_prefix(word)).unwrap_or(name);
    let is_type = !plain.is_empty() && !plain.starts_with(['*', '&', '(']);
    Some((plain.trim(), stars.checked_sub(1)?)).filter(|_| is_type)
}

/// The address that a value is: a pointer's, or a number.
fn address_in(value: &Value) -> Result<Addr, Error> {
    match &value.content {
        Ok(Content::Pointer(pointer)) => Ok(pointer.to),
        Ok(Content::Scalar(Scalar::Unsigned(number))) => u64::try_from(*number).map(Addr).map_err(|_| outside()),
        Ok(Content::Scalar(Scalar::Signed(number))) => u64::try_from(*number).map(Addr).map_err(|_| outside()),
        Ok(_) => Err(Error::Failed("it is neither a pointer nor a number".to_owned())),
        Err(gap) => Err(unreadable(gap.clone())),
    }
}

fn outside() -> Error {
    Error::Failed("it is outside the address space".to_owned())
}

fn unreadable(gap: impl std::fmt::Display) -> Error {
    Error::Failed(gap.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_the_abi_are_no_part_of_a_name() {
        assert_eq!(without_tags("shop::g_title[abi:cxx11]"), "shop::g_title");
        assert_eq!(without_tags("f[abi:cxx11](int)::names[abi:v1]"), "f(int)::names");
        assert_eq!([without_tags("plain"), without_tags("a[abi:"), without_tags("")], ["plain", "a", ""]);
    }

    #[test]
    fn a_cast_names_a_type_and_ends_in_a_star() {
        assert_eq!(pointer_type("shop::Order*"), Some(("shop::Order", 0)));
        assert_eq!(pointer_type("struct node **"), Some(("node", 1)));
        assert_eq!(pointer_type("std::map<int, char*> *"), Some(("std::map<int, char*>", 0)));
        assert_eq!([pointer_type("order"), pointer_type("*order"), pointer_type("*"), pointer_type("")], [None; 4]);
    }
}
