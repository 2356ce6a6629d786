//! `dumpobj`: one object of a heap: its type, its size, what is in it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::dumpheap::kept::Kept;
use super::{Alias, Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};
use crate::error::Error;
use crate::heap::{Contents, HeapObject, HeapSource, Naming, Objects, StaticField};
use crate::job::Job;
use crate::model::value::{Behind, Content, Field, Pointer, Role, Scalar};
use crate::model::{self, Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::report::words::thousands;
use crate::session::{Heap, Session};
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "dumpobj",
    aliases: &[Alias::of("do")],
    needs: Needs::Heap,
    home_of: &[],
    args: &[
        Arg::Operand("address", Kind::Address, Arity::One, "the object, or an address in it"),
        Arg::Flag("known", "as the terminal shows it: what would be free without it as far as that is known by now"),
    ],
    pane: None,
    doc: "One object of the heap: its type, its size, its fields with their values",
    help: "An address within the object does, too. An object whose type is not known is shown as text and words.

$ dumpscope demo -c 'dumpobj 0x8a139a0'
Address  0x8a139a0
Type     shop::Session
Bytes    80 B
 +  Name            Type              Value                                    Hex
 0  ._vptr.Session  __vtbl_ptr_type*  0x4dc190 <{vtable(shop::Session)}+0x10>  90 c1 4d 00 00 00 00 00
 8  .started        long int          1700000000                               00 f1 53 65 00 00 00 00
16  .address        std::string       2001:db8::0
48  .basket         std::vector<…>    [{item = 0, quantity = 1}]",
    build,
    schema: shape!(Object),
};

/// Fields and elements that are listed.
const MAX_FIELDS: usize = 1024;
/// Bytes of a field that are shown beside its value, at most: two words.
const MAX_HEX: u64 = 16;
/// Structures within structures that are listed.
const MAX_DEPTH: usize = 8;

/// An object of a heap.
#[derive(Serialize, JsonSchema)]
pub struct Object {
    /// Where it is.
    pub address: Addr,
    /// Its type's full name; null where it is not known.
    #[serde(rename = "type")]
    pub name: Option<String>,
    /// Its type's identity; null where it is not known.
    pub id: Option<Addr>,
    /// How its type is known: `recorded` in the object, `referred` by what refers to it, by its `contents`; null where it is not known.
    pub naming: Option<&'static str>,
    /// Of a type that is told by what refers to its objects one of those that do, `shop::Order.items`; null for others.
    pub referrer: Option<String>,
    /// What it takes itself, in bytes.
    pub bytes: u64,
    /// What it keeps alive, in bytes; null while nobody has asked what keeps what alive ('objsize' does).
    pub retained: Option<u64>,
    /// Its fields, those of base classes among them.
    pub fields: Vec<ObjectField>,
    /// How many more it has.
    pub fields_left_out: u64,
    /// Its first elements, where it is an array or a container; of an object whose type is not known its first words.
    pub elements: Vec<ObjectElement>,
    /// How many more it has.
    pub elements_left_out: u64,
    /// Why it may have more than that; null where it has not.
    pub elements_unread: Option<String>,
    /// Position of the first of them.
    #[serde(skip)]
    pub(super) first_element: usize,
    /// Why its fields are not known; null where they are.
    pub unknown: Option<String>,
    /// The text that it is, or begins with.
    pub text: Option<String>,
    #[serde(skip)]
    kept: Kept,
    /// Whether the dump has memory, in which it is.
    #[serde(skip)]
    has_memory: bool,
}

/// A field of an object.
#[derive(Serialize, JsonSchema)]
pub struct ObjectField {
    /// Its name; null where it has none.
    pub name: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Option<String>,
    /// A number, or text; null where it is not known.
    pub value: Option<Shown>,
    /// Why it is not known; null where it is.
    pub unknown: Option<String>,
    /// What it refers to; null where it is no reference.
    pub address: Option<Addr>,
    /// Bytes from the object's start.
    pub offset: u64,
    /// Whether it belongs to the type and not to the object: those of native types are no part of objects, and not listed.
    #[serde(rename = "static")]
    pub is_static: bool,
    /// The thread whose it is, where each thread has a static field of its own; null for others.
    pub thread: Option<u32>,
    /// Where a static field is.
    #[serde(skip)]
    at: Option<Addr>,
    #[serde(skip)]
    opens: Option<Subject>,
    /// Of what has no parts of its own, where that is stated.
    #[serde(skip)]
    size: Option<u64>,
    /// Its bytes, where it is no more than two words and has no parts of its own.
    #[serde(skip)]
    bytes: Arc<[Option<u8>]>,
}

/// An element of an array, or a word of an object whose type is not known.
#[derive(Serialize, JsonSchema)]
pub struct ObjectElement {
    /// What it stands under in a dictionary, where it stands in an array of several dimensions; null for others.
    pub key: Option<Shown>,
    /// Its type; null where it is not known.
    #[serde(rename = "type")]
    pub ty: Option<String>,
    /// A number, or text; null where it is not known.
    pub value: Option<Shown>,
    /// Why it is not known; null where it is.
    pub unknown: Option<String>,
    /// What it refers to; null where it is no reference.
    pub address: Option<Addr>,
    #[serde(skip)]
    opens: Option<Subject>,
    /// The bytes of a word as text, a point for what does not print.
    #[serde(skip)]
    text: Option<String>,
}

/// A value as JSON has it; null for a null reference.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Shown {
    /// A truth value.
    Bool(bool),
    /// A number without a fraction.
    Number(i64),
    /// One that is larger.
    Large(u64),
    /// One with a fraction.
    Float(f64),
    /// Anything else on one line.
    Text(String),
    /// The text that a reference refers to.
    Referred(String),
    /// A reference to nothing.
    Null,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let plain = session.heap(job)?;
    // Names cost seconds: they are shown where somebody has asked for them.
    let heap = plain.named_if_known().unwrap_or_else(|| Arc::clone(&plain));
    let address = query.address("address").or(query.focus.object).unwrap_or_default();
    let object = heap.object_holding(address, job)?;
    let Some(object) = object else {
        let lone = heap.source.lone(address).ok_or_else(|| Error::Failed(not_there(&heap, address)))?;
        let data = Object::with(address, Some((lone.name, lone.id)), lone.bytes, lone.contents);
        return Ok(Box::new(Answered { data, problems: heap.source.problems() }));
    };
    let objects = plain.objects_if_known().or_else(|| heap.objects_if_known());
    let id = objects.as_ref().and_then(|objects| objects.at(object.address));
    let mut data = Object::of(heap.source.as_ref(), object);
    data.retained = id.and_then(|id| plain.retained_if_known(id));
    data.kept = Kept::of(&plain, query, job)?;
    data.has_memory = session.process().is_ok();
    data.lead(objects.as_deref());
    Ok(Box::new(Answered { data, problems: heap.source.problems() }))
}

/// What is said where no object holds an address.
pub(super) fn not_there(heap: &Heap, address: Addr) -> String {
    format!("no object in use holds {address} ({}); 'maddress' says what is there", heap.source.name())
}

impl Object {
    fn of(source: &dyn HeapSource, object: HeapObject) -> Object {
        let of_type = source.types().get(object.of_type).filter(|of_type| of_type.naming != Naming::Size);
        let mut shown = Object {
            naming: of_type.map(|of_type| of_type.naming.word()),
            referrer: source.told_by(object.of_type).map(str::to_owned),
            ..Object::empty(object.address, of_type.map(|of_type| (of_type.name.clone(), of_type.id)), object.bytes)
        };
        if let Some(contents) = source.contents(object) {
            shown.fill(contents);
        }
        shown
    }

    /// One with what is in it, its type told by name and identity.
    pub(super) fn with(address: Addr, of_type: Option<(String, Addr)>, bytes: u64, contents: Contents) -> Object {
        let mut shown = Object::empty(address, of_type, bytes);
        shown.naming = shown.name.is_some().then(|| Naming::Recorded.word());
        shown.has_memory = true;
        shown.fill(contents);
        shown.lead(None);
        shown
    }

    /// One of which nothing but its type is told.
    fn empty(address: Addr, of_type: Option<(String, Addr)>, bytes: u64) -> Object {
        let (name, id) = of_type.unzip();
        Object {
            address,
            name,
            id,
            naming: None,
            referrer: None,
            bytes,
            retained: None,
            fields: Vec::new(),
            fields_left_out: 0,
            elements: Vec::new(),
            elements_left_out: 0,
            elements_unread: None,
            first_element: 0,
            unknown: None,
            text: None,
            kept: Kept::Absent,
            has_memory: false,
        }
    }

    fn fill(&mut self, contents: Contents) {
        self.text = contents.text;
        let (contained, statics) = (contents.contained, contents.statics);
        match contents.value {
            Ok(value) => {
                self.add(&value, 0, "", 0);
                let bytes: Vec<Option<u8>> = contents.words.iter().flat_map(|word| bytes(*word)).collect();
                self.fields.iter_mut().for_each(|field| field.bytes = part(&bytes, field.offset, field.size));
                if let Err(gap) = &value.content {
                    self.unknown = Some(gap.to_string());
                }
            }
            Err(gap) => {
                self.unknown = Some(gap.to_string());
                self.elements_left_out = contents.words_left_out;
                self.elements.extend(contents.words.into_iter().map(ObjectElement::word));
            }
        }
        contained.iter().for_each(|contained| self.add_contained(contained));
        statics.iter().for_each(|field| self.add_static(field));
        self.fields_left_out = self.fields_left_out.saturating_add(contents.statics_left_out);
    }

    /// Says where fields and elements lead: to the objects that they refer to, else to memory. `objects` are all of the heap, where they
    /// were listed: what is none of them is not called one.
    fn lead(&mut self, objects: Option<&Objects>) {
        let has_memory = self.has_memory;
        let to = |address: Addr| match objects.is_none_or(|objects| objects.holding(address).is_some()) {
            true => Some(Subject::Object(address)),
            false => has_memory.then_some(Subject::Memory(address)),
        };
        let memory = |at: Option<Addr>| at.filter(|_| has_memory).map(Subject::Memory);
        for field in &mut self.fields {
            let own = || if field.is_static { field.at } else { self.address.plus(field.offset) };
            field.opens = field.address.map_or_else(|| memory(own()), to);
        }
        for element in &mut self.elements {
            element.opens = element.address.and_then(to);
        }
    }

    /// Fields of bases stand among those of the object.
    fn add(&mut self, value: &model::Value, start: u64, prefix: &str, depth: usize) {
        // Elements that are left out are told of the object itself alone.
        if matches!(value.content, Ok(Content::Structure { .. })) {
            self.fields_left_out = self.fields_left_out.saturating_add(value.left_out());
        } else if depth == 0 {
            self.elements_left_out = value.left_out();
            self.elements_unread = value.unread().map(ToString::to_string);
        }
        for field in value.fields() {
            if self.fields.len() >= MAX_FIELDS {
                self.fields_left_out = self.fields_left_out.saturating_add(1);
                continue;
            }
            let offset = start.saturating_add(field.offset);
            if field.role == Role::Base && depth < MAX_DEPTH {
                self.add(&field.value, offset, prefix, depth.saturating_add(1));
                continue;
            }
            let name = field.name.as_deref().map(|name| format!("{prefix}{name}"));
            // What a reference refers to is another object.
            let is_part = matches!(field.value.content, Ok(Content::Structure { .. }));
            self.fields.push(ObjectField::of(field, name.clone(), offset));
            if is_part && depth < MAX_DEPTH {
                let inner = name.map_or_else(|| prefix.to_owned(), |name| format!("{name}."));
                self.add(&field.value, offset, &inner, depth.saturating_add(1));
            }
        }
        if depth == 0 {
            self.elements.extend(value.elements().iter().map(ObjectElement::of));
        }
    }

    /// The elements of a container that has fields, too.
    fn add_contained(&mut self, contained: &model::Value) {
        self.elements.extend(contained.elements().iter().map(ObjectElement::of));
        self.elements_left_out = contained.left_out();
        self.elements_unread = contained.unread().map(ToString::to_string);
        if let Err(gap) = &contained.content {
            self.unknown = Some(gap.to_string());
        }
    }

    fn add_static(&mut self, field: &StaticField) {
        let name = field.part.name.as_deref().map(str::to_owned);
        self.fields.push(ObjectField {
            is_static: true,
            thread: field.thread.map(|thread| thread.0),
            at: field.part.value.location,
            size: None,
            ..ObjectField::of(&field.part, name, field.part.offset)
        });
    }
}

impl ObjectField {
    fn of(field: &Field, name: Option<String>, offset: u64) -> ObjectField {
        let is_part = matches!(field.value.content, Ok(Content::Structure { .. }));
        ObjectField {
            name,
            ty: field.value.ty.as_ref().map(|ty| ty.name.to_string()),
            value: shown(&field.value),
            unknown: field.value.content.as_ref().err().map(ToString::to_string),
            address: field.value.address(),
            offset,
            is_static: false,
            thread: None,
            at: None,
            opens: None,
            size: field.value.ty.as_ref().and_then(|ty| ty.size).filter(|_| !is_part),
            bytes: Arc::default(),
        }
    }
}

/// The bytes of a word in their order in memory: that of little-endian machines, as all are whose dumps are read.
fn bytes(word: Option<Addr>) -> [Option<u8>; 8] {
    word.map_or([None; 8], |word| word.0.to_le_bytes().map(Some))
}

/// The bytes of a field, none where they are more than fit a line, or are not at hand.
fn part(all: &[Option<u8>], offset: u64, size: Option<u64>) -> Arc<[Option<u8>]> {
    let size = size.filter(|size| *size <= MAX_HEX).and_then(|size| usize::try_from(size).ok());
    let start = usize::try_from(offset).ok();
    let range = start.zip(size).and_then(|(start, size)| Some(start..start.checked_add(size)?));
    range.and_then(|range| all.get(range)).unwrap_or_default().into()
}

impl ObjectElement {
    fn of(element: &model::Value) -> ObjectElement {
        let (key, element) = element.keyed().map_or((None, element), |(key, value)| (Some(key), value));
        ObjectElement {
            key: key.map(|key| shown(key).unwrap_or_else(|| Shown::Text(key.to_string()))),
            ty: element.ty.as_ref().map(|ty| ty.name.to_string()),
            value: shown(element),
            unknown: element.content.as_ref().err().map(ToString::to_string),
            address: element.address(),
            opens: None,
            text: None,
        }
    }

    /// A word of an object whose type is not known.
    fn word(word: Option<Addr>) -> ObjectElement {
        let letter = |byte: u8| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' };
        ObjectElement {
            key: None,
            ty: None,
            value: word.map(|word| Shown::Text(word.to_string())),
            unknown: word.is_none().then(|| "not in the dump".to_owned()),
            address: word.filter(|word| word.0 > 0xfff),
            opens: None,
            text: word.map(|word| word.0.to_le_bytes().map(letter).into_iter().collect()),
        }
    }
}

/// Text with what is no UTF-8 as `\xff`.
fn characters(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// A value as JSON has it; `None` where it is not known.
fn shown(value: &model::Value) -> Option<Shown> {
    let content = value.content.as_ref().ok()?;
    let text = || Shown::Text(value.to_string());
    Some(match content {
        Content::Scalar(Scalar::Boolean(number @ (0 | 1))) => Shown::Bool(*number == 1),
        Content::Scalar(Scalar::Signed(number)) => i64::try_from(*number).map_or_else(|_| text(), Shown::Number),
        Content::Scalar(Scalar::Unsigned(number)) => match (i64::try_from(*number), u64::try_from(*number)) {
            (Ok(number), _) => Shown::Number(number),
            (_, Ok(number)) => Shown::Large(number),
            _ => text(),
        },
        Content::Scalar(Scalar::Float32(number)) if number.is_finite() => Shown::Float((*number).into()),
        Content::Scalar(Scalar::Float64(number)) if number.is_finite() => Shown::Float(*number),
        Content::Scalar(Scalar::Unit(unit)) => {
            char::from_u32((*unit).into()).map_or_else(text, |unit| Shown::Text(unit.into()))
        }
        Content::Text(characters) if !characters.cut => Shown::Text(self::characters(&characters.bytes)),
        Content::Pointer(Pointer { to: Addr(0), behind: Behind::Object(_), .. }) => Shown::Null,
        Content::Pointer(Pointer { behind: Behind::Text(Ok(characters)), is_reference: true, .. })
            if !characters.cut =>
        {
            Shown::Referred(self::characters(&characters.bytes))
        }
        _ => text(),
    })
}

impl Draw for Object {
    fn draw(&self) -> Section {
        let memory = self.has_memory.then_some(Subject::Memory(self.address));
        let own = |cell: Cell| Row { cells: vec![cell], subject: memory };
        let of_type = match (&self.name, self.id) {
            (Some(name), Some(id)) => {
                let cell = Cell::new(Value::Type(name.as_str().into())).tone(Tone::Strong);
                Row::about(Subject::Type(id), vec![cell])
            }
            _ => Row::new(vec![Cell::unknown("nothing tells the type")]),
        };
        let mut fields = vec![
            ("Address".to_owned(), own(Cell::new(Value::Addr(self.address)))),
            ("Type".to_owned(), of_type),
            ("Bytes".to_owned(), Row::new(vec![Cell::new(Value::Bytes(self.bytes))])),
        ];
        if let Some(referrer) = &self.referrer {
            let cell = Cell::text(format!("as what {referrer} refers to")).tone(Tone::Dim);
            fields.push(("Named".to_owned(), Row::new(vec![cell])));
        }
        let retained = self.retained.map(|bytes| Cell::new(Value::Bytes(bytes)));
        if let Some(retained) = retained.or_else(|| self.kept.cell(None)) {
            fields.push(("Retained".to_owned(), Row::new(vec![retained])));
        }
        if let Some(text) = &self.text {
            fields.push(("Text".to_owned(), Row::new(vec![Cell::text(format!("\"{text}\""))])));
        }
        if let Some(why) = &self.unknown {
            fields.push(("Fields".to_owned(), Row::new(vec![Cell::unknown(why)])));
        }
        let mut bodies = vec![Body::Fields(fields)];
        bodies.extend(self.fields());
        bodies.extend(more(self.fields_left_out, "fields", None));
        bodies.extend(self.elements());
        let what = if self.unknown.is_some() { "words" } else { "elements" };
        bodies.extend(more(self.elements_left_out, what, self.elements_unread.as_deref()));
        Section { bodies, ..Section::default() }
    }
}

impl Object {
    fn fields(&self) -> Option<Body> {
        let row = |field: &ObjectField| {
            let name = format!(".{}", field.name.as_deref().unwrap_or("(unnamed)"));
            let cells = vec![
                if field.is_static { Cell::text("static") } else { Cell::new(Value::Count(field.offset)) }
                    .tone(Tone::Dim),
                Cell::text(field.thread.map_or(name.clone(), |thread| format!("{name} (thread {thread})"))),
                Cell::new(Value::Type(field.ty.as_deref().unwrap_or("?").into())).tone(Tone::Dim),
                cell(field.value.as_ref(), field.unknown.as_deref(), field.address),
                if field.bytes.is_empty() {
                    Cell::NONE
                } else {
                    Cell::new(Value::Hex(Arc::clone(&field.bytes))).tone(Tone::Dim)
                },
            ];
            Row { cells, subject: field.opens }
        };
        let columns = vec![
            Column::right("+"),
            Column::left("Name"),
            Column::wide("Type", 1).rank(2),
            Column::wide("Value", 2).rank(1),
            Column::rigid("Hex").rank(4),
        ];
        let rows: Vec<Row> = self.fields.iter().map(row).collect();
        (!rows.is_empty()).then(|| Body::Table(Table::new(columns, rows)))
    }

    fn elements(&self) -> Option<Body> {
        let has_text = self.elements.iter().any(|element| element.text.is_some());
        let row = |(index, element): (usize, &ObjectElement)| {
            let ty = element.ty.as_deref().map_or(Cell::NONE, |ty| Cell::new(Value::Type(ty.into())).tone(Tone::Dim));
            let index = match &element.key {
                Some(key) => Cell::text(format!("[{}]", drawn(key))),
                None => Cell::text(format!("[{}]", self.first_element.saturating_add(index))),
            };
            let mut cells = vec![index, ty, cell(element.value.as_ref(), element.unknown.as_deref(), element.address)];
            if has_text {
                cells.push(Cell::text_or_none(element.text.as_deref()).tone(Tone::Dim));
            }
            Row { cells, subject: element.opens }
        };
        let mut columns =
            vec![Column::left("Element"), Column::wide("Type", 1).rank(2), Column::wide("Value", 2).rank(1)];
        columns.extend(has_text.then(|| Column::rigid("Text").rank(3)));
        let rows: Vec<Row> = self.elements.iter().enumerate().map(row).collect();
        (!rows.is_empty()).then(|| Body::Table(Table::new(columns, rows)))
    }
}

/// `… and 3 more fields`; nothing where all are listed. `unread`: why there may be more than that.
fn more(left_out: u64, what: &str, unread: Option<&str>) -> Option<Body> {
    let what = if left_out == 1 { what.trim_end_matches('s') } else { what };
    let (text, tone) = match (left_out, unread) {
        (0, None) => return None,
        (_, None) => (format!("… and {} more {what}", thousands(left_out)), Tone::Dim),
        (0, Some(why)) => (format!("… and maybe more {what}: {why}"), Tone::Guess),
        (_, Some(why)) => (format!("… and at least {} more {what}: {why}", thousands(left_out)), Tone::Guess),
    };
    Some(Body::Lines(vec![Row::new(vec![Cell::text(text).tone(tone)])]))
}

fn cell(value: Option<&Shown>, unknown: Option<&str>, address: Option<Addr>) -> Cell {
    let tone = if address.is_some() { Tone::Link } else { Tone::Plain };
    match value {
        Some(value @ (Shown::Text(_) | Shown::Referred(_))) => Cell::text(drawn(value)).tone(tone),
        Some(value) => Cell::text(drawn(value)),
        None => Cell::unknown(unknown.unwrap_or("not known")),
    }
}

/// A value as text has it.
fn drawn(value: &Shown) -> String {
    match value {
        Shown::Bool(value) => value.to_string(),
        Shown::Number(number) => number.to_string(),
        Shown::Large(number) => number.to_string(),
        Shown::Float(number) => number.to_string(),
        Shown::Text(text) => text.clone(),
        Shown::Referred(text) => model::value::Text { bytes: text.as_bytes().to_vec(), cut: false }.to_string(),
        Shown::Null => "null".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_utf8_are_shown_by_their_numbers() {
        assert_eq!(characters(b"caf\xe9, \xc3\xa9"), "caf\\xe9, \u{e9}");
    }
}
