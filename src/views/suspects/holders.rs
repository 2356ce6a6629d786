//! The variables and stacks that objects hang from: each object from the one that is nearest to it.

use rustc_hash::FxHashMap;

use crate::analysis::graph::{Graph, Nearest};
use crate::analysis::histogram::Amount;
use crate::error::Error;
use crate::heap::{ObjectId, Root, RootKind};
use crate::job::Job;
use crate::model::frame::path;
use crate::model::{Addr, Tid};
use crate::session::{Heap, Session};
use crate::views::object_rows::{Named, RootRow};

/// Roots, those of the most bytes, that are asked for their names.
const ROOTS: usize = 1 << 16;
/// Holders that are told apart, those of the most bytes.
const HOLDERS: usize = 256;
/// Objects on a way whose types are looked at, from either end.
const STEPS: usize = 1 << 16;
/// Calls of a stack that are told.
const CALLS: usize = 3;
/// Types on a way that are told.
const SHOWN: usize = 4;

/// What holds objects from outside, in the words of the program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Variable(String),
    Thread(RootKind, Tid),
    Other(RootKind),
}

/// A variable or a stack, with what hangs from it.
pub(super) struct Holder {
    /// `shop::g_orders`, `the stack of 4719 worker`.
    pub(super) name: String,
    /// Where it holds the first object.
    pub(super) at: Option<Addr>,
    /// What hangs from it and from nothing nearer.
    pub(super) amount: Amount,
}

/// The holders of a heap.
pub(super) struct Holders<'a> {
    named: &'a Named,
    nearest: Nearest,
    /// Those of the most bytes first.
    pub(super) all: Vec<Holder>,
    /// By holder and type: objects, and one of them.
    types: FxHashMap<(usize, usize), (Amount, ObjectId)>,
}

impl<'a> Holders<'a> {
    pub(super) fn of(session: &Session, heap: &Heap, named: &'a Named, job: &Job) -> Result<Holders<'a>, Error> {
        let graph = heap.graph(job)?;
        let nearest = Nearest::find(&graph, job)?;
        let (all, of_root) = holders(session, &graph, &nearest, named, job)?;
        let mut types: FxHashMap<(usize, usize), (Amount, ObjectId)> = FxHashMap::default();
        let mut meter = job.meter();
        for id in 0..named.objects.len() {
            meter.add(1)?;
            let Some(holder) = nearest.root(id).and_then(|root| of_root.get(&root)) else { continue };
            let slot = types.entry((*holder, named.objects.of_type(id))).or_insert((Amount::default(), id));
            slot.0.add(Amount { count: 1, bytes: named.objects.bytes(id) });
        }
        Ok(Holders { named, nearest, all, types })
    }

    /// The type of which most bytes hang from a holder, and the way to one of its objects.
    pub(super) fn most_of(&self, holder: usize) -> Option<(usize, Amount, Vec<String>)> {
        let of_it = self.types.iter().filter(|((of, _), _)| *of == holder);
        let ((_, of_type), (amount, example)) = of_it.max_by_key(|((_, of), (amount, _))| (amount.bytes, *of))?;
        Some((*of_type, *amount, self.way(*example)))
    }

    /// The holder of most objects of a type, by bytes, and the way to one of them.
    pub(super) fn holder_of(&self, of_type: usize) -> Option<(&Holder, Amount, Vec<String>)> {
        let of_it = self.types.iter().filter(|((_, of), _)| *of == of_type);
        let ((holder, _), (amount, example)) = of_it.max_by_key(|((of, _), (amount, _))| (amount.bytes, *of))?;
        Some((self.all.get(*holder)?, *amount, self.way(*example)))
    }

    /// The types on the way to an object, the first one first, without its own; what repeats itself stands once.
    fn way(&self, to: ObjectId) -> Vec<String> {
        let mut types: Vec<usize> =
            self.nearest.back(to).take(STEPS).map(|id| self.named.objects.of_type(id)).collect();
        types.dedup();
        types.reverse();
        types.pop();
        let name = |of: &usize| self.named.source.types().get(*of).map(|of_type| of_type.name.clone());
        let mut names: Vec<String> = types.iter().filter_map(name).collect();
        if names.len() > SHOWN {
            names.splice(SHOWN / 2..names.len().saturating_sub(SHOWN / 2), ["…".to_owned()]);
        }
        names
    }
}

/// The holders, and of each root its holder.
fn holders(
    session: &Session,
    graph: &Graph,
    nearest: &Nearest,
    named: &Named,
    job: &Job,
) -> Result<(Vec<Holder>, FxHashMap<usize, usize>), Error> {
    let mut sums: FxHashMap<usize, Amount> = FxHashMap::default();
    let mut meter = job.meter();
    for id in 0..named.objects.len() {
        meter.add(1)?;
        if let Some(root) = nearest.root(id) {
            sums.entry(root).or_default().add(Amount { count: 1, bytes: named.objects.bytes(id) });
        }
    }
    let mut roots: Vec<(usize, Amount)> = sums.into_iter().collect();
    roots.sort_unstable_by_key(|(at, amount)| (std::cmp::Reverse(amount.bytes), *at));
    let mut by_key: FxHashMap<Key, (Amount, Vec<usize>)> = FxHashMap::default();
    for (at, amount) in roots.into_iter().take(ROOTS) {
        job.check()?;
        let Some((root, _)) = graph.roots().get(at) else { continue };
        let (sum, of_it) = by_key.entry(key(root, named, session)).or_default();
        sum.add(amount);
        of_it.push(at);
    }
    let mut all: Vec<(Key, (Amount, Vec<usize>))> = by_key.into_iter().collect();
    let first = |roots: &[usize]| roots.first().copied();
    all.sort_unstable_by_key(|(_, (amount, roots))| (std::cmp::Reverse(amount.bytes), first(roots)));
    all.truncate(HOLDERS);
    let mut of_root = FxHashMap::default();
    let mut holders = Vec::new();
    for (at, (key, (amount, roots))) in all.into_iter().enumerate() {
        let root = first(&roots).and_then(|root| graph.roots().get(root));
        of_root.extend(roots.into_iter().map(|root| (root, at)));
        let calls = root.map(|(root, _)| calls(root, session, job)).transpose()?.flatten();
        let calls = calls.map(|calls| format!(", in {calls}")).unwrap_or_default();
        let name = format!("{}{calls}", key.words(named, session));
        holders.push(Holder { name, at: root.and_then(|(root, _)| root.at), amount });
    }
    Ok((holders, of_root))
}

fn key(root: &Root, named: &Named, session: &Session) -> Key {
    if let Some(tid) = root.tid {
        return Key::Thread(root.kind, tid);
    }
    let row = RootRow::of(root, named, session);
    // The part of a variable is not told: all of a table holds.
    let variable = row.name.map(|name| match name.rsplit_once("+0x") {
        Some((variable, _)) => variable.to_owned(),
        None => name,
    });
    // Without symbols each place is a variable of its own.
    let place = || {
        let (at, target) = (root.at.filter(|_| root.kind == RootKind::Global)?, session.target().ok()?);
        let module = target.module_at(at)?.file_name().unwrap_or("the executable");
        Some(format!("a variable of {module} at {at}"))
    };
    variable.or_else(place).map_or(Key::Other(root.kind), Key::Variable)
}

/// The call whose frame holds a root, and those that led to it: `load ← serve ← main`. `None` of what is on no stack, and of frames
/// without a name.
fn calls(root: &Root, session: &Session, job: &Job) -> Result<Option<String>, Error> {
    let (RootKind::Stack, Some(at), Some(tid)) = (root.kind, root.at, root.tid) else { return Ok(None) };
    let Some(index) = session.index_of(tid) else { return Ok(None) };
    let stack = session.stack(index, job)?;
    let above = stack.frames.partition_point(|frame| frame.sp <= at);
    let frames = stack.frames.get(above.saturating_sub(1)..).unwrap_or_default();
    let frames = frames.get(..CALLS.min(frames.len())).unwrap_or_default();
    let named = session.process()?.named_frames(frames);
    let functions = named.iter().map_while(|frame| frame.function.as_deref().map(path));
    let functions: Vec<&str> = functions.take(CALLS).collect();
    Ok((!functions.is_empty()).then(|| functions.join(" ← ")))
}

impl Key {
    fn words(&self, named: &Named, session: &Session) -> String {
        match self {
            Key::Variable(name) => name.clone(),
            Key::Thread(kind, tid) => {
                let row = RootRow::of(&Root { kind: *kind, at: None, tid: Some(*tid) }, named, session);
                let name = row.name.map(|name| format!(" {name}")).unwrap_or_default();
                let what = match kind {
                    RootKind::Stack => "the stack",
                    RootKind::Register => "a register",
                    _ => "thread-local storage",
                };
                format!("{what} of {tid}{name}")
            }
            Key::Other(RootKind::Mapping) => "memory outside the heap".to_owned(),
            Key::Other(kind) => format!("a {}", kind.word()),
        }
    }
}
