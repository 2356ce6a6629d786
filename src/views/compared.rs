//! Two heaps that are held against each other: the other one opened, and which of them was before.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::arguments::Kind;
use super::object_rows::Named;
use super::summary::INCOMPLETE;
use super::{Arg, Arity, Query};
use crate::analysis::growth::{self, Growth};
use crate::analysis::histogram::{Amount, Histogram};
use crate::error::Error;
use crate::heap::Bound;
use crate::job::Job;
use crate::model::{Addr, Problem};
use crate::session::{Heap, Session, Source};

/// The operand that names the other dump.
pub(super) const OTHER: Arg = Arg::Operand("other", Kind::Word, Arity::One, "the other dump's file");
/// The flag that turns their order round.
pub(super) const REVERSE: Arg = Arg::Flag("reverse", "the other way round");

/// One of the heaps.
pub(super) struct Side {
    /// The dump's file.
    pub path: String,
    pub heap: Arc<Heap>,
    pub histogram: Arc<Histogram>,
    /// What is missing from the dump itself; of the one that is open that was told when it was opened.
    cut: Vec<Problem>,
}

/// Both.
pub(super) struct Compared {
    pub before: Side,
    pub after: Side,
    /// How it is known which was before: `written` first, `opened` first since the files do not tell, or `reverse`: as asked.
    pub ordered_by: &'static str,
    /// Whether the dump that is open is the one after: its objects can be asked about.
    pub is_open_after: bool,
}

/// By type its heads of leaks before and after.
pub(super) type HeadsOfBoth = BTreeMap<Arc<str>, [Heads; 2]>;

/// Heads of leaks of one type.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heads {
    /// How many heads.
    pub count: u64,
    /// Objects that hang from them, themselves among them, and their bytes.
    pub held: Amount,
    /// The one with the most.
    pub largest: Option<(u64, Addr)>,
}

impl Compared {
    /// Opens the other dump, `path`. `names`: with names for objects that carry none. Fails where the heaps are not of one kind.
    pub(super) fn of(session: &Session, path: &Path, query: &Query, names: bool, job: &Job) -> Result<Compared, Error> {
        let other = Session::open(Source::File(path.to_owned()), &session.search, job)?;
        let (one, two) = (session.heap(job)?, other.heap(job)?);
        let (kind, other_kind) = (one.source.name(), two.source.name());
        if !kind.split(", ").any(|name| other_kind.split(", ").any(|other| name == other)) {
            return Err(Error::Failed(format!(
                "a heap of {kind} and one of {other_kind} cannot be held against each other: they have no types in common"
            )));
        }
        let named = if names { session.named_heap(job).ok().zip(other.named_heap(job).ok()) } else { None };
        job.check()?;
        let (one, two) = named.unwrap_or((one, two));
        let side = |path: &Path, heap: Arc<Heap>| {
            let histogram = heap.histogram(job)?;
            Ok::<_, Error>(Side { path: path.display().to_string(), heap, histogram, cut: Vec::new() })
        };
        let (own, mut theirs) = (side(session.source.path(), one)?, side(path, two)?);
        theirs.cut.extend(other.problems().into_iter().filter(|problem| INCOMPLETE.contains(&problem.code)));
        let written = session.written().zip(other.written()).filter(|(own, other)| own != other);
        let is_first = written.is_none_or(|(own, other)| own < other) != query.flag("reverse");
        let (before, after) = if is_first { (own, theirs) } else { (theirs, own) };
        let ordered_by = match (query.flag("reverse"), written) {
            (true, _) => "reverse",
            (false, Some(_)) => "written",
            (false, None) => "opened",
        };
        Ok(Compared { before, after, ordered_by, is_open_after: !is_first })
    }

    /// Every type, those that grew by the most bytes first.
    pub(super) fn types(&self) -> Vec<Growth> {
        let of = |side: &Side| (side.heap.source.types().to_vec(), Arc::clone(&side.histogram));
        let ((before, first), (after, second)) = (of(&self.before), of(&self.after));
        growth::growth((&before, &first), (&after, &second))
    }

    /// The heads of leaks by type in both; `None` where one of the heaps does not tell what refers to what, and where
    /// a collector frees what nothing refers to.
    pub(super) fn heads(&self, job: &Job) -> Result<Option<HeadsOfBoth>, Error> {
        let mut all = HeadsOfBoth::new();
        for (at, side) in [&self.before, &self.after].into_iter().enumerate() {
            if side.heap.source.references().is_none() || side.heap.source.is_collected() {
                return Ok(None);
            }
            for (name, heads) in heads(&side.heap, job)? {
                if let Some(slot) = all.entry(name).or_default().get_mut(at) {
                    *slot = heads;
                }
            }
        }
        Ok(Some(all))
    }

    /// Whether a collector frees what nothing refers to.
    pub(super) fn is_collected(&self) -> bool {
        self.after.heap.source.is_collected()
    }

    /// How far what was counted of each can be relied on.
    pub(super) fn bounds(&self) -> [Bound; 2] {
        [&self.before, &self.after].map(|side| side.heap.bound())
    }

    /// What is missing of either, with the file that it is missing from.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let of = |side: &Side| {
            let told = |problem: Problem| Problem { message: format!("{}: {}", side.path, problem.message), ..problem };
            side.cut.iter().cloned().chain(side.heap.doubts()).map(told).collect::<Vec<_>>()
        };
        [of(&self.before), of(&self.after)].concat()
    }
}

/// The heads of a heap's leaks by type.
pub(super) fn heads(heap: &Heap, job: &Job) -> Result<BTreeMap<Arc<str>, Heads>, Error> {
    let (leaks, named) = (heap.leaks(job)?, Named::of(heap, job)?);
    let mut types: rustc_hash::FxHashMap<usize, Heads> = rustc_hash::FxHashMap::default();
    let mut meter = job.meter();
    for head in &leaks.heads {
        meter.add(1)?;
        let of = types.entry(named.objects.of_type(head.object)).or_default();
        of.count = of.count.saturating_add(1);
        of.held.add(Amount { count: head.count.into(), bytes: head.bytes });
        if of.largest.is_none_or(|(most, _)| most < head.bytes) {
            of.largest = Some((head.bytes, named.address(head.object)));
        }
    }
    let mut all: BTreeMap<Arc<str>, Heads> = BTreeMap::new();
    for (of_type, heads) in types {
        let name = named.source.types().get(of_type).map_or("unknown type", |of_type| of_type.name.as_str());
        let slot = all.entry(name.into()).or_default();
        slot.count = slot.count.saturating_add(heads.count);
        slot.held.add(heads.held);
        slot.largest = slot.largest.max(heads.largest);
    }
    Ok(all)
}
