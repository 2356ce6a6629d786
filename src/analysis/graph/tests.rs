//! Small graphs by hand, and many random ones held against what anyone would compute by looking at everything.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::*;
use crate::error::Error;
use crate::heap::{HeapObject, HeapSource, HeapType, ObjectId, Objects, References, Root, RootKind, Visit};
use crate::job::{Job, Meter};
use crate::model::{Addr, Problem, Tid};

/// Objects of 1, 2, 4, 8 … bytes (up to 2^20, then again), so that a sum says which they are.
struct Literal {
    count: u32,
    parts: u32,
    references: Vec<(u32, u32)>,
    roots: Vec<(Option<u32>, u32)>,
    types: usize,
}

impl Literal {
    fn of(count: u32, references: &[(u32, u32)], roots: &[u32]) -> Literal {
        let roots = roots.iter().map(|id| (None, *id)).collect();
        Literal { count, parts: 2, references: references.to_vec(), roots, types: 3 }
    }

    fn range(&self, part: usize) -> std::ops::Range<u32> {
        let each = self.count.div_ceil(self.parts);
        let first = (part as u32 * each).min(self.count);
        first..(first + each).min(self.count)
    }

    fn understood(&self) -> Understood {
        let job = Job::default();
        let objects = Objects::of(self, &job).expect("listed");
        let graph = Graph::build(self, &objects, &job).expect("read");
        let reachable = Reachable::from_roots(&graph, &job).expect("followed");
        let leaks = Leaks::find(&graph, &reachable, &objects, self.types, &job).expect("found");
        let dominators = Dominators::find(&graph, &leaks, &objects, &job).expect("found");
        Understood { objects, graph, reachable, leaks, dominators }
    }
}

struct Understood {
    objects: Objects,
    graph: Graph,
    reachable: Reachable,
    leaks: Leaks,
    dominators: Dominators,
}

impl Understood {
    /// What each of three types retains.
    fn by_type(&self) -> Vec<u64> {
        let class_of = |id| self.objects.of_type(id);
        retained_by_classes(&self.dominators, 3, &class_of, &Job::default()).expect("added up")
    }
}

fn bytes(id: u32) -> u64 {
    1 << (id % 20)
}

fn of_type(id: u32, types: usize) -> usize {
    id as usize % types
}

impl HeapSource for Literal {
    fn name(&self) -> &str {
        "literals"
    }
    fn types(&self) -> &[HeapType] {
        &[]
    }
    fn parts(&self) -> usize {
        self.parts as usize
    }
    fn objects(&self, part: usize, _: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        self.range(part).try_for_each(|id| {
            let address = Addr(0x1000_0000 + u64::from(id) * 0x20_0000);
            visit(HeapObject { address, of_type: of_type(id, self.types), bytes: bytes(id) })
        })
    }
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn references(&self) -> Option<&dyn References> {
        Some(self)
    }
}

fn root(tid: Option<u32>) -> Root {
    match tid {
        Some(tid) => Root { kind: RootKind::Stack, at: Some(Addr(0x7000)), tid: Some(Tid(tid)) },
        None => Root { kind: RootKind::Global, at: Some(Addr(0x4000)), tid: None },
    }
}

impl References for Literal {
    fn of_objects(
        &self,
        range: Range<ObjectId>,
        _: &Objects,
        _: &mut Meter<'_>,
        visit: &mut dyn FnMut(ObjectId, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.references.iter().filter(|(from, _)| range.contains(from)).try_for_each(|(from, to)| visit(*from, *to))
    }

    fn roots(
        &self,
        _: &Objects,
        _: &Job,
        visit: &mut dyn FnMut(Root, ObjectId) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.roots.iter().try_for_each(|(tid, id)| visit(root(*tid), *id))
    }
}

fn heads(leaks: &Leaks) -> Vec<(u32, u32, u64)> {
    leaks.heads.iter().map(|head| (head.object, head.count, head.bytes)).collect()
}

//   root → 0 → 1 → 3      4 ⇄ 5 → 6 ← 7      8 ↺
//          └─→ 2 ──┘
const REFERENCES: [(u32, u32); 10] = [(0, 1), (0, 2), (1, 3), (2, 3), (4, 5), (5, 4), (5, 6), (7, 6), (7, 3), (8, 8)];

#[test]
fn references_of_all_parts_stand_in_the_graph_each_once() {
    let twice: Vec<(u32, u32)> = [(0, 2), (0, 1), (0, 2), (8, 8), (1, 1000)].to_vec();
    let known = Literal::of(9, &twice, &[0, 0, 1000]).understood();
    assert_eq!(
        [known.graph.references(0), known.graph.references(1), known.graph.references(8)],
        [&[1, 2][..], &[], &[8]]
    );
    assert_eq!((known.graph.len(), known.graph.count(), known.graph.roots().len()), (9, 3, 2));
    assert!(known.graph.references(9).is_empty(), "there is no such object");
}

#[test]
fn references_in_any_order_make_the_same_graph() {
    let mut mixed = REFERENCES;
    mixed.reverse();
    let (sorted, mixed) = (Literal::of(9, &REFERENCES, &[0]).understood(), Literal::of(9, &mixed, &[0]).understood());
    (0..9).for_each(|id| assert_eq!(sorted.graph.references(id), mixed.graph.references(id), "{id}"));
}

#[test]
fn a_heap_that_tells_no_references_says_so() {
    struct Silent;
    impl HeapSource for Silent {
        fn name(&self) -> &str {
            "silent"
        }
        fn types(&self) -> &[HeapType] {
            &[]
        }
        fn parts(&self) -> usize {
            0
        }
        fn objects(&self, _: usize, _: &mut Meter<'_>, _: &mut Visit<'_>) -> Result<(), Error> {
            Ok(())
        }
        fn problems(&self) -> Vec<Problem> {
            Vec::new()
        }
    }
    let refused = Graph::build(&Silent, &Objects::default(), &Job::default()).expect_err("nothing to read");
    assert_eq!(refused.to_string(), "what the objects of this heap (silent) refer to cannot be told");
}

#[test]
fn leaks_hang_from_the_fewest_objects_that_reach_them() {
    let known = Literal::of(9, &REFERENCES, &[0]).understood();
    assert_eq!((known.reachable.count, known.reachable.set.has(3), known.reachable.set.has(4)), (4, true, false));
    // 4 stands for the cycle of 4 and 5; 6 is reached from 7 as well, and belongs to neither.
    assert_eq!(heads(&known.leaks), [(8, 1, 1 << 8), (7, 1, 1 << 7), (4, 2, 16 + 32)]);
    assert_eq!(known.leaks.histogram.total.count, 5);
}

#[test]
fn an_object_retains_what_goes_with_it() {
    let known = Literal::of(9, &REFERENCES, &[0]).understood();
    let dominators = &known.dominators;
    let of: Vec<Option<u32>> = (0..9).map(|id| dominators.of(id)).collect();
    assert_eq!(of, [None, Some(0), Some(0), Some(0), None, Some(4), None, None, None]);
    let retained: Vec<u64> = (0..9).map(|id| dominators.retained(id)).collect();
    assert_eq!(retained, [15, 2, 4, 8, 48, 32, 64, 128, 256], "7 refers to 3, which is not leaked");
    assert_eq!(dominators.largest(3), [8, 7, 6]);
    assert!(dominators.largest(0).is_empty());
    // Type 0: of 0 and 3, of which 0 holds 3, and 6; type 1: 1, 4, 7; type 2: 2, 5 (8 too).
    assert_eq!(known.by_type(), [15 + 64, 2 + 48 + 128, 4 + 32 + 256]);
    assert_eq!(dominators.holders(), [(Holder::Roots(RootKind::Global), 15), (Holder::Nothing, 64 + 48 + 128 + 256)]);
}

#[test]
fn what_two_threads_hold_neither_holds_alone() {
    let heap = Literal {
        roots: vec![(Some(7), 0), (Some(8), 1), (Some(8), 1), (None, 3)],
        ..Literal::of(4, &[(0, 2), (1, 2)], &[])
    };
    let known = heap.understood();
    let held = [
        (Holder::Thread(Tid(7)), 1),
        (Holder::Thread(Tid(8)), 2),
        (Holder::Roots(RootKind::Global), 8),
        (Holder::Nothing, 0),
    ];
    assert_eq!(known.dominators.holders(), held);
}

#[test]
fn sums_beyond_four_gigabytes_are_kept() {
    let count = 40_000;
    let chain: Vec<(u32, u32)> = (1..count).map(|id| (id - 1, id)).collect();
    let known = Literal::of(count, &chain, &[0]).understood();
    let all: u64 = (0..count).map(bytes).sum();
    let chain: Vec<(u32, u32)> = chain.into_iter().chain((count..200_000).map(|id| (count - 1, id))).collect();
    let known_more = Literal::of(200_000, &chain, &[0]).understood();
    let more: u64 = (0..200_000).map(bytes).sum();
    assert!(more > u64::from(u32::MAX));
    assert_eq!((known.dominators.retained(0), known_more.dominators.retained(0)), (all, more));
    assert_eq!(known_more.dominators.retained(count), bytes(count));
}

#[test]
fn ways_to_an_object_differ_in_what_refers_to_it_last() {
    let known = Literal::of(9, &REFERENCES, &[1, 0]).understood();
    let job = Job::default();
    let ways = |to, most| -> Vec<Vec<u32>> {
        paths(&known.graph, to, most, &job).expect("found").into_iter().map(|path| path.objects).collect()
    };
    assert_eq!(ways(3, 1), [vec![1, 3]]);
    assert_eq!(ways(3, 9), [vec![1, 3], vec![0, 2, 3]], "7 refers to it, too, and is not reachable");
    assert_eq!(ways(1, 9), [vec![1], vec![0, 1]]);
    assert_eq!(ways(6, 9), Vec::<Vec<u32>>::new());
    assert_eq!(ways(1000, 9), Vec::<Vec<u32>>::new());
    assert_eq!(referrers(&known.graph, 3, &job).expect("found"), [1, 2, 7]);
    assert_eq!(referrers(&known.graph, 8, &job).expect("found"), [8]);
}

#[test]
fn one_object_leads_to_another_by_the_shortest_way() {
    let known = Literal::of(9, &REFERENCES, &[0]).understood();
    let leads = |from, to| way(&known.graph, from, to, &Job::default()).expect("found");
    assert_eq!(leads(0, 3), Some(vec![0, 1, 3]));
    assert_eq!(leads(7, 3), Some(vec![7, 3]), "reachable or not");
    assert_eq!(leads(8, 8), Some(vec![8]));
    assert_eq!(leads(3, 7), None);
    assert_eq!(leads(3, 1000), None);
}

#[test]
fn all_that_an_object_leads_to_is_added_up() {
    let known = Literal::of(9, &REFERENCES, &[0]).understood();
    let reach = |from| reach(&known.graph, from, &known.objects, &Job::default()).expect("followed");
    let amount = |from| reach(from).reachable;
    assert_eq!(reach(5).retained, None, "no root reaches it");
    assert_eq!((amount(5).count, amount(5).bytes), (3, 16 + 32 + 64));
    assert_eq!((amount(7).count, amount(7).bytes), (3, 128 + 64 + 8), "live ones, too");
}

#[test]
fn a_cancelled_job_stops_all_of_it() {
    let heap = Literal::of(9, &REFERENCES, &[0]);
    let known = heap.understood();
    let job = Job::default();
    job.cancel();
    let cancelled = |error: Option<Error>| assert!(matches!(error, Some(Error::Cancelled)));
    cancelled(Reachable::from_roots(&known.graph, &job).err());
    cancelled(Leaks::find(&known.graph, &known.reachable, &known.objects, 3, &job).err());
    cancelled(Dominators::find(&known.graph, &known.leaks, &known.objects, &job).err());
    cancelled(paths(&known.graph, 3, 1, &job).err());
    cancelled(referrers(&known.graph, 3, &job).err());
}

/// Reachable from any of these, without passing `without`.
fn plain_reach(references: &BTreeSet<(u32, u32)>, from: &BTreeSet<u32>, without: Option<u32>) -> BTreeSet<u32> {
    let mut seen: BTreeSet<u32> = from.iter().copied().filter(|id| Some(*id) != without).collect();
    loop {
        let next: Vec<u32> = references
            .iter()
            .filter(|(from, to)| seen.contains(from) && !seen.contains(to) && Some(*to) != without)
            .map(|(_, to)| *to)
            .collect();
        if next.is_empty() {
            return seen;
        }
        seen.extend(next);
    }
}

#[test]
fn random_graphs_give_what_looking_at_everything_gives() {
    let mut random = 99u64;
    let mut next = |bound: u32| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((random >> 33) % u64::from(bound.max(1))) as u32
    };
    for round in 0..600 {
        let count = 1 + next(14);
        let references: Vec<(u32, u32)> = (0..next(count * 3)).map(|_| (next(count), next(count))).collect();
        let roots = (0..next(4)).map(|_| (Some(next(3)).filter(|tid| *tid > 0), next(count))).collect();
        let parts = 1 + next(4);
        let heap = Literal { count, parts, references, roots, types: 3 };
        let set: BTreeSet<(u32, u32)> = heap.references.iter().copied().collect();
        let known = heap.understood();
        let says = |what: &str| format!("round {round}, {what}: {:?}, roots {:?}", heap.references, heap.roots);
        let graph = &known.graph;

        let all: BTreeSet<u32> = (0..count).collect();
        let from: BTreeSet<u32> = heap.roots.iter().map(|(_, id)| *id).collect();
        let live = plain_reach(&set, &from, None);
        assert_eq!(all.iter().copied().filter(|id| known.reachable.set.has(*id)).collect::<BTreeSet<_>>(), live);

        // Heads: of each set of objects that reach each other the first, where no other leaked object reaches it.
        let dead: BTreeSet<u32> = all.difference(&live).copied().collect();
        let reach: BTreeMap<u32, BTreeSet<u32>> =
            dead.iter().map(|id| (*id, plain_reach(&set, &BTreeSet::from([*id]), None))).collect();
        let is_head = |id: &u32| {
            dead.iter()
                .filter(|other| *other != id && reach[other].contains(id))
                .all(|other| reach[id].contains(other) && other > id)
        };
        let wanted: BTreeSet<u32> = dead.iter().copied().filter(is_head).collect();
        let found: BTreeSet<u32> = known.leaks.heads.iter().map(|head| head.object).collect();
        assert_eq!(found, wanted, "{}", says("heads"));
        for head in &known.leaks.heads {
            let others: BTreeSet<u32> = wanted.iter().copied().filter(|other| *other != head.object).collect();
            let alone: Vec<u32> = reach[&head.object]
                .iter()
                .copied()
                .filter(|id| dead.contains(id) && others.iter().all(|other| !reach[other].contains(id)))
                .collect();
            let sum: u64 = alone.iter().map(|id| bytes(*id)).sum();
            assert_eq!((head.count as usize, head.bytes), (alone.len(), sum), "{}", says("alone"));
            assert_eq!(known.dominators.retained(head.object), sum, "{}", says("retained by a head"));
        }

        // Dominated: what goes when the object is taken away.
        let inside: BTreeSet<(u32, u32)> =
            set.iter().copied().filter(|(from, to)| live.contains(from) || !live.contains(to)).collect();
        let starts: BTreeSet<u32> = from.union(&wanted).copied().collect();
        let without: BTreeMap<u32, BTreeSet<u32>> = all
            .iter()
            .map(|id| (*id, all.difference(&plain_reach(&inside, &starts, Some(*id))).copied().collect()))
            .collect();
        let mut by_type = [0u64; 3];
        for id in 0..count {
            let gone = &without[&id];
            let alone = super::reach(graph, id, &known.objects, &Job::default()).expect("followed");
            let sum = |ids: &BTreeSet<u32>| (ids.len() as u64, ids.iter().map(|id| bytes(*id)).sum::<u64>());
            let expected = live.contains(&id).then(|| sum(gone));
            assert_eq!(alone.retained.map(|amount| (amount.count, amount.bytes)), expected, "{}", says("alone"));
            let led_to = sum(&plain_reach(&set, &BTreeSet::from([id]), None));
            assert_eq!((alone.reachable.count, alone.reachable.bytes), led_to, "{}", says("led to"));
            assert_eq!(
                known.dominators.retained(id),
                gone.iter().map(|id| bytes(*id)).sum::<u64>(),
                "{}",
                says(&format!("retained by {id}"))
            );
            // The nearest of those that dominate it is dominated by all others.
            let above: Vec<u32> =
                all.iter().copied().filter(|other| *other != id && without[other].contains(&id)).collect();
            let nearest = above.iter().copied().find(|other| above.iter().all(|far| without[far].contains(other)));
            assert_eq!(known.dominators.of(id), nearest, "{}", says(&format!("dominator of {id}")));
            if above.iter().all(|other| of_type(*other, 3) != of_type(id, 3)) {
                by_type[of_type(id, 3)] += known.dominators.retained(id);
            }
        }
        assert_eq!(known.by_type(), by_type, "{}", says("types"));

        for to in 0..count {
            let found = paths(graph, to, 1000, &Job::default()).expect("found");
            let last: BTreeSet<Option<u32>> =
                found.iter().map(|path| path.objects.iter().rev().nth(1).copied()).collect();
            let others = plain_reach(&set, &from, Some(to));
            let mut wanted: BTreeSet<Option<u32>> = set
                .iter()
                .filter(|(from, at)| *at == to && others.contains(from))
                .map(|(from, _)| Some(*from))
                .collect();
            wanted.extend(from.contains(&to).then_some(None));
            assert_eq!(last, wanted, "{}", says(&format!("ways to {to}")));
            for path in &found {
                assert!(from.contains(&path.objects[0]) && path.objects.last() == Some(&to));
                assert!(path.objects.windows(2).all(|pair| set.contains(&(pair[0], pair[1]))), "{}", says("steps"));
            }
            let lengths: Vec<usize> = found.iter().map(|path| path.objects.len()).collect();
            assert!(lengths.is_sorted(), "{}", says("the shorter first"));
        }
    }
}
