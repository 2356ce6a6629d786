//! `readmemory`: bytes of the target, in hexadecimal and as text, with what the words point to.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Alias, Answer, Answered, Arg, Arity, Draw, Kind, Needs, Query, View};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Problem, Subject, SubjectKind, Tid};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "readmemory",
    aliases: &[Alias::of("d"), Alias::of("db"), Alias::of("dq"), Alias::of("memory")],
    needs: Needs::Process,
    home_of: &[SubjectKind::Memory],
    args: &[
        Arg::Operand(
            "address",
            Kind::Address,
            Arity::Optional,
            "where; when not given, the selected thread's stack pointer",
        ),
        Arg::Value("n", Kind::Bytes, "how many, from 1 to 1048576 (256 when not given)"),
        Arg::Value("w", Kind::Bytes, "how many a row: 16 (when not given) or 8"),
    ],
    pane: Some("Memory"),
    doc: "Memory at an address, in hexadecimal and as text",
    help: "$ dumpscope demo -c 'readmemory g_orders -n 32'
orders-api+0x187be0 in 0x4e4000-0x58e000 rw-
Address   Bytes                                             Text              Points to
0x587be0  02 00 00 00 00 00 00 00  6f 12 00 00 01 00 00 00  ........o.......
0x587bf0  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  ................",
    build,
    schema: shape!(MemoryAt),
};

const DEFAULT_BYTES: u64 = 256;
const MAX_BYTES: u64 = 1 << 20;
/// What a row has, in bytes.
const NARROW: u64 = 8;
const WIDEST: u64 = 16;

/// Bytes at an address.
#[derive(Serialize, JsonSchema)]
pub struct MemoryAt {
    /// First address.
    pub address: Addr,
    /// Bytes asked for.
    pub bytes: u64,
    /// What the first address belongs to; null where the dump lists no mapping there.
    pub owner: Option<Owner>,
    /// Rows of 16 bytes, or as many as asked for.
    pub rows: Vec<MemoryRow>,
}

/// What an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Owner {
    /// The module's file name; null outside all modules.
    pub module: Option<String>,
    /// Bytes from the start of the module, else of the mapping, to the address.
    pub offset: u64,
    /// The threads whose stack it is.
    pub stacks: Vec<Tid>,
    /// What text calls the first of them.
    #[serde(skip)]
    label: Option<String>,
    /// What `offset` counts from.
    #[serde(skip)]
    base: Addr,
    /// The mapping's first address.
    pub start: Addr,
    /// One past its last.
    pub end: Addr,
    /// Its rights: `rw-`.
    pub access: String,
    /// The file that it maps, or the name that the kernel gave it: `[heap]`.
    pub path: Option<String>,
}

/// A row of bytes.
#[derive(Serialize, JsonSchema)]
pub struct MemoryRow {
    /// Address of the first.
    pub address: Addr,
    /// Each byte; null where the dump does not hold it.
    pub bytes: Vec<Option<u8>>,
    /// What each word of a pointer's size points to, where it points into a module.
    pub points_to: Vec<Option<String>>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    let count = query.number("n").unwrap_or(DEFAULT_BYTES);
    if !(1..=MAX_BYTES).contains(&count) {
        return Err(Error::Usage(format!("-n {count}: from 1 to {MAX_BYTES} bytes are shown")));
    }
    let per_row = query.number("w").unwrap_or(WIDEST);
    if ![NARROW, WIDEST].contains(&per_row) {
        return Err(Error::Usage(format!("-w {per_row}: a row has {NARROW} or {WIDEST} bytes")));
    }
    let given = query.address("address").or(query.focus.address);
    let address = match given {
        Some(address) => address,
        None => {
            let thread = session.os_threads().get(query.thread_index(session)?);
            thread
                .and_then(|thread| thread.registers.as_ref().ok()?.sp())
                .ok_or_else(|| Error::Usage("readmemory takes an address".to_owned()))?
        }
    };
    let target = session.target()?;
    let memory = &target.memory;
    let pointer = usize::try_from(target.arch().pointer_size()).unwrap_or(1).max(1);
    let first = memory.slice(address, 1).err();
    let mut rows = Vec::new();
    let mut at = address;
    let mut left = count;
    while left > 0 {
        job.advance(1)?;
        let len = left.min(per_row);
        let bytes: Vec<Option<u8>> = (0..len).map(|offset| memory.u8(at.plus(offset)?).ok()).collect();
        let word = |offset| memory.ptr(at.plus(offset)?).ok().and_then(|to| super::registers::points_to(session, to));
        rows.push(MemoryRow { address: at, bytes, points_to: (0..per_row).step_by(pointer).map(word).collect() });
        left = left.saturating_sub(len);
        match at.plus(len) {
            Some(next) => at = next,
            None => break,
        }
    }
    if rows.iter().all(|row| row.bytes.iter().all(Option::is_none)) {
        let reason = first.map_or_else(|| "not readable".to_owned(), |gap| gap.why.to_string());
        return Err(Error::Failed(format!("cannot read memory at {address}: {reason}")));
    }
    let problems = match first {
        Some(gap) => vec![Problem::new("unreadable", Subject::Memory(address), gap.to_string())],
        None => Vec::new(),
    };
    Ok(Box::new(Answered { data: MemoryAt { address, bytes: count, owner: owner(session, address)?, rows }, problems }))
}

impl Draw for MemoryAt {
    fn draw(&self) -> Section {
        let columns = vec![
            Column::rigid("Address"),
            Column::rigid("Bytes"),
            Column::rigid("Text").rank(3),
            Column::wide("Points to", 1),
        ];
        let rows = self.rows.iter().map(row).collect();
        let owner = Body::Lines(vec![self.owner.as_ref().map_or_else(nobody, Owner::row)]);
        Section { bodies: vec![owner, Body::Table(Table::new(columns, rows))], ..Section::default() }
    }
}

fn owner(session: &Session, address: Addr) -> Result<Option<Owner>, Error> {
    let process = session.process()?;
    let mapping = process.mappings().into_iter().find(|mapping| (mapping.start..mapping.end).contains(&address));
    let module = process.target.module_at(address);
    let Some(mapping) = mapping else { return Ok(None) };
    let from = module.map_or(mapping.start, |module| module.mapped.base);
    let known = process.threads_if_known();
    let label = mapping.stacks.first().map(|tid| {
        let shown = known.iter().flat_map(|threads| &threads.value).find(|thread| thread.tid == *tid);
        shown.map_or_else(|| tid.to_string(), |thread| thread.label())
    });
    Ok(Some(Owner {
        module: module.and_then(|module| module.file_name()).map(str::to_owned),
        offset: address.since(from).unwrap_or(0),
        stacks: mapping.stacks,
        label,
        base: from,
        start: mapping.start,
        end: mapping.end,
        access: mapping.access,
        path: mapping.path,
    }))
}

fn nobody() -> Row {
    Row::new(vec![Cell::text("in no mapping that the dump lists").tone(Tone::Guess)])
}

impl Owner {
    /// `libc.so.6+0x1f3a0`, `stack of 4719 worker-3`, `[heap]`; then the mapping.
    fn row(&self) -> Row {
        let (what, subject) = match (&self.module, self.stacks.as_slice()) {
            (Some(module), _) => (format!("{module}+{:#x}", self.offset), Some(Subject::Module(self.base))),
            (None, [tid]) => {
                (format!("stack of {}", self.label.as_deref().unwrap_or("a thread")), Some(Subject::Thread(*tid)))
            }
            (None, [_, _, ..]) => (format!("stacks of {} threads", self.stacks.len()), None),
            (None, []) => match self.path.as_deref() {
                Some("[heap]") => ("heap".to_owned(), None),
                Some(path) => (path.to_owned(), None),
                None => ("private memory".to_owned(), None),
            },
        };
        let mapping = format!("in {}-{} {}", self.start, self.end, self.access);
        let cells = vec![Cell::text(what).tone(Tone::Strong), Cell::text(mapping).tone(Tone::Dim)];
        Row { cells, subject }
    }
}

fn row(row: &MemoryRow) -> Row {
    let text: String = row
        .bytes
        .iter()
        .map(|byte| match byte {
            Some(byte @ 0x20..=0x7e) => char::from(*byte),
            Some(_) => '.',
            None => '?',
        })
        .collect();
    let targets: Vec<&str> = row.points_to.iter().flatten().map(String::as_str).collect();
    Row::about(
        Subject::Memory(row.address),
        vec![
            Cell::new(Value::Addr(row.address)).tone(Tone::Dim),
            Cell::new(Value::Hex(row.bytes.as_slice().into())),
            Cell::text(text),
            if targets.is_empty() { Cell::NONE } else { Cell::text(targets.join(", ")).tone(Tone::Link) },
        ],
    )
}
