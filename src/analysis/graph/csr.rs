//! The references of all objects, in one array: four bytes a reference, and four an object.

use std::ops::Range;

use rayon::prelude::*;

use super::offsets::Offsets;
use crate::error::Error;
use crate::heap::{HeapSource, ObjectId, Objects, References, Root};
use crate::job::Job;

/// What each object of a heap refers to, and what is referred to from outside.
///
/// An object that refers to another in several places refers to it once here: nothing that is asked of a graph depends
/// on how often, and [`References::field`] tells in which places. An object may refer to itself.
#[derive(Debug, Default)]
pub struct Graph {
    offsets: Offsets,
    targets: Vec<ObjectId>,
    roots: Vec<(Root, ObjectId)>,
}

impl Graph {
    /// Reads the references of a heap, in parallel. Fails where the heap cannot tell them, where they are
    /// told of other objects than those that are asked for, and where the job is cancelled.
    pub fn build(source: &dyn HeapSource, objects: &Objects, job: &Job) -> Result<Graph, Error> {
        let references = told(source)?;
        job.phase("reading references", u64::from(objects.len()));
        let mut lengths = vec![0; objects.len() as usize];
        let read = |(range, lengths): (Range<ObjectId>, &mut [u32])| {
            Piece::new(range, objects.len(), lengths).read(references, objects, job)
        };
        let lists: Vec<Vec<ObjectId>> = pieces(&mut lengths).into_par_iter().map(read).collect::<Result<_, Error>>()?;
        let offsets = Offsets::of(lengths)?;
        let targets = joined(lists);
        job.phase("looking for roots", 0);
        let mut roots = Vec::new();
        references.roots(objects, job, &mut |root, id| {
            if id < objects.len() {
                roots.push((root, id));
            }
            Ok(())
        })?;
        roots.shrink_to_fit();
        Ok(Graph { offsets, targets, roots })
    }

    /// Fails where a heap cannot tell references, with the reason.
    pub fn refuse_without_references(source: &dyn HeapSource) -> Result<(), Error> {
        told(source).map(drop)
    }

    /// How many objects there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.offsets.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.offsets.len() == 0
    }

    /// How many references there are between objects.
    pub fn count(&self) -> u64 {
        self.offsets.total()
    }

    /// What an object refers to, each once, ascending.
    #[inline]
    pub fn references(&self, id: ObjectId) -> &[ObjectId] {
        self.targets.get(self.offsets.range(id)).unwrap_or_default()
    }

    /// What is referred to from outside, in the source's order.
    pub fn roots(&self) -> &[(Root, ObjectId)] {
        &self.roots
    }
}

fn told(source: &dyn HeapSource) -> Result<&dyn References, Error> {
    let why = || Error::Failed(format!("what the objects of this heap ({}) refer to cannot be told", source.name()));
    source.references().ok_or_else(why)
}

/// Objects in one piece of the work at least, and pieces for each thread.
const LEAST: usize = 1 << 12;
const SHARES: usize = 16;

/// Runs of objects with their own pieces of `lengths`, ascending.
fn pieces(lengths: &mut [u32]) -> Vec<(Range<ObjectId>, &mut [u32])> {
    let shares = rayon::current_num_threads().saturating_mul(SHARES).max(1);
    let length = lengths.len().div_ceil(shares).max(LEAST);
    let mut start = 0;
    let mut pieces = Vec::new();
    for piece in lengths.chunks_mut(length) {
        let end = u32::try_from(piece.len()).unwrap_or(u32::MAX).saturating_add(start);
        pieces.push((start..end, piece));
        start = end;
    }
    pieces
}

/// One list of all, copied in parallel.
fn joined(mut lists: Vec<Vec<ObjectId>>) -> Vec<ObjectId> {
    lists.retain(|list| !list.is_empty());
    if lists.len() < 2 {
        return lists.pop().unwrap_or_default();
    }
    let mut all = vec![0; lists.iter().map(Vec::len).fold(0, usize::saturating_add)];
    let mut rest = &mut all[..];
    let mut work = Vec::with_capacity(lists.len());
    for list in lists {
        let (room, left) = std::mem::take(&mut rest).split_at_mut(list.len());
        work.push((list, room));
        rest = left;
    }
    // Each is let go when it is copied.
    work.into_par_iter().for_each(|(list, room)| room.copy_from_slice(&list));
    all
}

/// The references of a run of objects while they are read.
struct Piece<'a> {
    range: Range<ObjectId>,
    /// Ids from here on name no object.
    len: u32,
    lengths: &'a mut [u32],
    targets: Vec<ObjectId>,
    current: Option<ObjectId>,
    /// What the current one refers to.
    list: Vec<ObjectId>,
    /// Of a source that does not tell them ascending: all of them.
    pairs: Option<Vec<(ObjectId, ObjectId)>>,
}

impl<'a> Piece<'a> {
    fn new(range: Range<ObjectId>, len: u32, lengths: &'a mut [u32]) -> Piece<'a> {
        Piece { range, len, lengths, targets: Vec::new(), current: None, list: Vec::new(), pairs: None }
    }

    fn read(mut self, references: &dyn References, objects: &Objects, job: &Job) -> Result<Vec<ObjectId>, Error> {
        let range = self.range.clone();
        references.of_objects(range, objects, &mut job.meter(), &mut |from, to| self.add(from, to))?;
        self.close();
        if let Some(mut pairs) = self.pairs.take() {
            pairs.sort_unstable();
            pairs.into_iter().try_for_each(|(from, to)| self.add(from, to))?;
            self.close();
        }
        self.targets.shrink_to_fit();
        Ok(self.targets)
    }

    fn add(&mut self, from: ObjectId, to: ObjectId) -> Result<(), Error> {
        if !self.range.contains(&from) {
            return Err(Error::Failed(format!("object {from} is none of those that were asked for, {:?}", self.range)));
        }
        if to >= self.len {
            return Ok(());
        }
        if let Some(pairs) = &mut self.pairs {
            pairs.push((from, to));
            return Ok(());
        }
        match self.current {
            Some(current) if current == from => self.list.push(to),
            Some(current) if current > from => {
                self.close();
                let mut pairs = self.taken_back();
                pairs.push((from, to));
                self.pairs = Some(pairs);
            }
            _ => {
                self.close();
                self.current = Some(from);
                self.list.push(to);
            }
        }
        Ok(())
    }

    /// Writes what the current object refers to, each once.
    fn close(&mut self) {
        let Some(current) = self.current.take() else { return };
        self.list.sort_unstable();
        self.list.dedup();
        let at = current.wrapping_sub(self.range.start) as usize;
        if let Some(length) = self.lengths.get_mut(at) {
            *length = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        }
        self.targets.append(&mut self.list);
    }

    /// What was written, as pairs.
    fn taken_back(&mut self) -> Vec<(ObjectId, ObjectId)> {
        let mut targets = std::mem::take(&mut self.targets).into_iter();
        let mut pairs = Vec::with_capacity(targets.len());
        for (from, length) in self.range.clone().zip(self.lengths.iter_mut()) {
            pairs.extend(targets.by_ref().take(std::mem::take(length) as usize).map(|to| (from, to)));
        }
        pairs
    }
}
