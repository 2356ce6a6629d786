//! Deadlocks, and threads that many others wait for, over the locks of all runtimes.
//!
//! Input: locks with owners and waiters. Output: cycles of threads each of which waits for the next, and the holders at
//! the end of all other chains. Pure: no dump is needed. No lock names its readers, so that a cycle through one is never
//! certain.

mod graph;

use rustc_hash::{FxHashMap, FxHashSet};
use schemars::JsonSchema;
use serde::Serialize;

use self::graph::Graph;
pub use self::graph::Step;
use crate::model::{Addr, Lock, Tid, TimeLimit};

/// Cycles that are told apart of threads that all wait for each other; the other threads are among their victims.
const MAX_CYCLES: usize = 8;

/// Threads that wait for each other in a cycle and can never go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cycle {
    /// The cycle, from the thread with the lowest id; one step when a thread waits for what it holds itself.
    pub cycle: Vec<Step>,
    /// Whether it can never end: every owner in it is recorded, and what each waits for, and no wait ends by itself.
    pub certain: bool,
    /// Why it is not certain; null where it is.
    pub doubt: Option<Doubt>,
    /// Those of its threads whose wait ends by itself, and with it the cycle.
    pub limits: Vec<TimeLimit>,
    /// Threads outside the cycle that wait for one in it, directly or through others, in ascending order.
    pub victims: Vec<Tid>,
}

/// Why a cycle of waits is no certain deadlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// A wait in it has a time limit.
    TimeLimit,
    /// An owner in it is inferred.
    InferredOwner,
    /// What one of its threads waits for is inferred.
    InferredWait,
}

impl Cycle {
    /// Whether it ends by itself, for one of its waits has a time limit.
    pub fn ends(&self) -> bool {
        !self.limits.is_empty()
    }
}

/// A thread that others wait for, and that waits for no other thread itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Holder {
    /// The thread.
    pub tid: Tid,
    /// Threads that hold the very same locks beside it: the other readers. In ascending order.
    pub beside: Vec<Tid>,
    /// The locks that it holds and others wait for, in ascending order.
    pub locks: Vec<Addr>,
    /// Threads that wait for it, directly or through others, in ascending order.
    pub waiters: Vec<Tid>,
    /// Whether every owner on the way is recorded, and every wait.
    pub certain: bool,
}

/// A lock of a chain, and who holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The lock.
    pub lock: Addr,
    /// Its owner, known or inferred, who waits for the next link's lock; of several readers one that waits; `None` when nobody owns it
    /// or it cannot be told.
    pub owner: Option<Tid>,
}

/// From a lock to its owner, to the lock that this one waits for, and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The links, that of the lock that was asked for first.
    pub links: Vec<Link>,
    /// The link whose lock the last owner waits for: from it on the chain is a cycle.
    pub cycle: Option<usize>,
}

impl Chain {
    /// A cycle as a chain that is one from its first link on: that of the lock that the cycle's first thread holds.
    pub fn of_cycle(cycle: &Cycle) -> Chain {
        let held = cycle.cycle.iter().cycle().skip(cycle.cycle.len().saturating_sub(1));
        let links = cycle.cycle.iter().zip(held);
        let links = links.map(|(step, before)| Link { lock: before.waits_for, owner: Some(step.tid) });
        Chain { links: links.collect(), cycle: Some(0) }
    }
}

/// Every cycle of waits: certain deadlocks first, those that end by themselves last, then by the lowest thread id. At most [`MAX_CYCLES`] of one tangle.
pub fn cycles(locks: &[Lock]) -> Vec<Cycle> {
    let graph = Graph::of(locks);
    let limits: FxHashMap<Tid, TimeLimit> =
        locks.iter().flat_map(|lock| &lock.limits).map(|limit| (limit.tid, *limit)).collect();
    let mut found = Vec::new();
    for tangle in graph.tangles() {
        let mut members: Vec<Tid> = tangle.iter().copied().collect();
        members.sort_unstable();
        let mut told: FxHashSet<Tid> = FxHashSet::default();
        let mut cycles = 0;
        for member in members {
            if cycles == MAX_CYCLES {
                break;
            }
            if told.contains(&member) {
                continue;
            }
            let Some(steps) = graph.cycle(member, &tangle) else { continue };
            told.extend(steps.iter().map(|step| step.tid));
            found.push(with_victims(&graph, &limits, steps));
            cycles += 1;
        }
    }
    found.sort_by_key(|cycle| (cycle.ends(), !cycle.certain, cycle.cycle.first().map(|step| step.tid)));
    found
}

/// A cycle with its victims, turned so that its lowest thread id comes first.
fn with_victims(graph: &Graph, limits: &FxHashMap<Tid, TimeLimit>, mut steps: Vec<Step>) -> Cycle {
    let lowest = steps.iter().enumerate().min_by_key(|(_, step)| step.tid).map_or(0, |(index, _)| index);
    steps.rotate_left(lowest);
    let members: Vec<Tid> = steps.iter().map(|step| step.tid).collect();
    let owned = members.iter().all(|tid| graph.wait(*tid).is_some_and(|lock| lock.certain));
    let waited = members.iter().all(|tid| graph.wait(*tid).is_some_and(|lock| lock.is_waited_certainly(*tid)));
    let limits: Vec<TimeLimit> = members.iter().filter_map(|tid| limits.get(tid)).copied().collect();
    let doubt = match (limits.is_empty(), owned, waited) {
        (false, ..) => Some(Doubt::TimeLimit),
        (true, false, _) => Some(Doubt::InferredOwner),
        (true, true, false) => Some(Doubt::InferredWait),
        (true, true, true) => None,
    };
    let (victims, _) = graph.waiting_for(&members);
    Cycle { cycle: steps, certain: doubt.is_none(), doubt, limits, victims }
}

/// The chain that begins with the lock at an address; `None` where there is no lock. O(locks).
pub fn chain(locks: &[Lock], from: Addr) -> Option<Chain> {
    let mut wanted: FxHashMap<Tid, &Lock> = FxHashMap::default();
    for (lock, waiter) in locks.iter().flat_map(|lock| lock.waiters.iter().map(move |waiter| (lock, waiter))) {
        wanted.entry(*waiter).or_insert(lock);
    }
    let mut at = locks.iter().find(|lock| lock.address == from)?;
    let mut links: Vec<Link> = Vec::new();
    let mut places: FxHashMap<Addr, usize> = FxHashMap::default();
    loop {
        if let Some(cycle) = places.insert(at.address, links.len()) {
            return Some(Chain { links, cycle: Some(cycle) });
        }
        let holders = at.holders();
        let owner = holders.iter().find(|holder| wanted.contains_key(holder)).or(holders.first()).copied();
        links.push(Link { lock: at.address, owner });
        match owner.and_then(|owner| wanted.get(&owner)) {
            Some(next) => at = next,
            None => return Some(Chain { links, cycle: None }),
        }
    }
}

/// Threads that wait for what one of `threads` holds, directly or through others, without these; in ascending order.
pub fn waiting_behind(locks: &[Lock], threads: &[Tid]) -> Vec<Tid> {
    Graph::of(locks).waiting_for(threads).0
}

/// Threads at the end of chains: others wait for them, and they wait for no thread. The one with the most waiters first.
pub fn holders(locks: &[Lock]) -> Vec<Holder> {
    let graph = Graph::of(locks);
    let mut found: Vec<Holder> = Vec::new();
    let mut places: FxHashMap<Vec<Addr>, usize> = FxHashMap::default();
    for tid in graph.ends() {
        let mut held: Vec<Addr> = graph.held(tid).map(|lock| lock.address).collect();
        held.sort_unstable();
        if let Some(first) = places.get(&held).and_then(|place| found.get_mut(*place)) {
            first.beside.push(tid);
            continue;
        }
        places.insert(held.clone(), found.len());
        let (waiters, certain) = graph.waiting_for(&[tid]);
        found.push(Holder { tid, beside: Vec::new(), locks: held, waiters, certain });
    }
    found.sort_by_key(|holder| (std::cmp::Reverse(holder.waiters.len()), holder.tid));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::thread::Nature;
    use crate::model::{Evidence, Gap, LockFamily, LockKind, Owner};

    const INFERRED: Option<Doubt> = Some(Doubt::InferredOwner);

    const MUTEX: LockKind = LockKind { word: "mutex", words: "mutex", family: LockFamily::Mutex, nature: Nature::Lock };

    fn lock(address: u64, owner: Owner, waiters: &[u32]) -> Lock {
        Lock {
            address: Addr(address),
            kind: MUTEX,
            name: Ok(None),
            owner,
            recursion: None,
            readers: None,
            read_by: Vec::new(),
            waiters: waiters.iter().copied().map(Tid).collect(),
            evidence: Evidence::OWNER_FIELD,
            inferred_waiters: Vec::new(),
            absent: None,
            limits: Vec::new(),
        }
    }

    fn held(address: u64, owner: u32, waiters: &[u32]) -> Lock {
        lock(address, Owner::Thread(Tid(owner)), waiters)
    }

    fn read(address: u64, readers: &[u32], waiters: &[u32]) -> Lock {
        let unknown = Owner::Unknown(Gap::NotRecorded("readers".into()));
        let read_by = readers.iter().copied().map(Tid).collect();
        Lock { read_by, evidence: Evidence::ALL_READERS, ..lock(address, unknown, waiters) }
    }

    fn step(tid: u32, waits_for: u64) -> Step {
        Step { tid: Tid(tid), waits_for: Addr(waits_for) }
    }

    #[test]
    fn two_threads_that_hold_what_the_other_wants_are_a_cycle() {
        let found = cycles(&[held(0xa, 3, &[7]), held(0xb, 7, &[3])]);
        assert_eq!(
            found,
            [Cycle {
                cycle: vec![step(3, 0xb), step(7, 0xa)],
                certain: true,
                doubt: None,
                limits: vec![],
                victims: vec![]
            }]
        );
    }

    #[test]
    fn a_cycle_of_three_starts_at_its_lowest_thread_and_names_those_who_wait_outside() {
        // 5 → c (4) → b (9) → a (5); 6 waits for a, 8 for what 6 holds.
        let locks = [held(0xa, 5, &[9, 6]), held(0xb, 9, &[4]), held(0xc, 4, &[5]), held(0xd, 6, &[8])];
        let cycle = vec![step(4, 0xb), step(9, 0xa), step(5, 0xc)];
        assert_eq!(
            cycles(&locks),
            [Cycle { cycle, certain: true, doubt: None, limits: vec![], victims: vec![Tid(6), Tid(8)] }]
        );
    }

    #[test]
    fn a_thread_that_waits_for_its_own_lock_is_a_cycle_of_one() {
        let found = cycles(&[held(0xa, 3, &[3])]);
        assert_eq!(found.first().map(|cycle| cycle.cycle.clone()), Some(vec![step(3, 0xa)]));
        assert!(holders(&[held(0xa, 3, &[3])]).is_empty(), "it waits for a thread: itself");
    }

    #[test]
    fn an_inferred_owner_makes_the_cycle_uncertain_and_last() {
        let locks =
            [lock(0xa, Owner::Inferred(Tid(1)), &[2]), held(0xb, 2, &[1]), held(0xc, 8, &[9]), held(0xd, 9, &[8])];
        let found = cycles(&locks);
        assert_eq!(found.iter().map(|cycle| cycle.certain).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_wait_of_which_it_is_inferred_what_it_is_for_makes_the_cycle_uncertain() {
        let inferred = Lock { inferred_waiters: vec![Tid(1)], ..held(0xb, 2, &[1]) };
        let found = cycles(&[held(0xa, 1, &[2]), inferred.clone()]);
        assert_eq!(found.first().map(|cycle| (cycle.certain, cycle.doubt)), Some((false, Some(Doubt::InferredWait))));
        // Who waits for it by its own word waits certainly.
        let other = Lock { waiters: vec![Tid(1), Tid(3)], ..inferred };
        let found = cycles(&[other.clone(), held(0xa, 3, &[2])]);
        assert_eq!(found.first().map(|cycle| cycle.certain), Some(true));
        assert_eq!(holders(&[other]).first().map(|holder| holder.certain), Some(false));
    }

    #[test]
    fn a_cycle_in_which_one_wait_has_a_time_limit_ends_by_itself_and_comes_last() {
        let limit = TimeLimit { tid: Tid(1), left_ms: Some(1500), whole_ms: None };
        let timed = Lock { limits: vec![limit], ..held(0xb, 2, &[1]) };
        let found = cycles(&[held(0xa, 1, &[2]), timed, lock(0xc, Owner::Inferred(Tid(8)), &[9]), held(0xd, 9, &[8])]);
        let told: Vec<_> = found.iter().map(|cycle| (cycle.certain, cycle.doubt, cycle.limits.as_slice())).collect();
        assert_eq!(told, [(false, INFERRED, &[][..]), (false, Some(Doubt::TimeLimit), &[limit][..])]);
    }

    #[test]
    fn an_unknown_owner_closes_no_cycle() {
        let unknown = Owner::Unknown(Gap::NotRecorded("owner".into()));
        assert!(cycles(&[lock(0xa, unknown, &[2]), held(0xb, 2, &[1])]).is_empty());
        assert!(cycles(&[lock(0xa, Owner::None, &[1, 2])]).is_empty());
    }

    #[test]
    fn everyone_waits_for_the_holder_at_the_end_of_the_chain() {
        // 2 and 3 wait for 1's lock, 4 for 3's; 1 waits for nobody.
        let locks = [held(0xa, 1, &[2, 3]), held(0xb, 3, &[4]), held(0xc, 1, &[])];
        let expected = Holder {
            tid: Tid(1),
            beside: vec![],
            locks: vec![Addr(0xa)],
            waiters: vec![Tid(2), Tid(3), Tid(4)],
            certain: true,
        };
        assert_eq!(holders(&locks), [expected]);
        assert!(cycles(&locks).is_empty());
    }

    #[test]
    fn a_chain_leads_from_a_lock_to_the_thread_that_all_wait_for() {
        // 9 waits for a (5), 5 for b (4), 4 on a condition variable c that nobody owns.
        let locks = [held(0xa, 5, &[9]), held(0xb, 4, &[5]), lock(0xc, Owner::None, &[4])];
        let link = |lock, owner: Option<u32>| Link { lock: Addr(lock), owner: owner.map(Tid) };
        assert_eq!(waiting_behind(&locks, &[Tid(5)]), [Tid(9)]);
        let links = vec![link(0xa, Some(5)), link(0xb, Some(4)), link(0xc, None)];
        assert_eq!(chain(&locks, Addr(0xa)), Some(Chain { links, cycle: None }));
        assert_eq!(chain(&locks, Addr(0xd)), None);
    }

    #[test]
    fn a_chain_says_where_it_becomes_a_cycle() {
        // 9 waits for d (3); 3 waits for b (7), 7 for a (3).
        let locks = [held(0xa, 3, &[7]), held(0xb, 7, &[3]), held(0xd, 3, &[9])];
        let link = |lock, owner| Link { lock: Addr(lock), owner: Some(Tid(owner)) };
        let cycle = [link(0xb, 7), link(0xa, 3)];
        let whole = vec![link(0xd, 3), cycle[0], cycle[1]];
        assert_eq!(chain(&locks, Addr(0xd)), Some(Chain { links: whole, cycle: Some(1) }));
        assert_eq!(chain(&locks, Addr(0xb)), Some(Chain { links: cycle.to_vec(), cycle: Some(0) }));
        let [cycle] = cycles(&locks).try_into().expect("one cycle");
        // 3, with the lowest id, comes first: it holds a, which 7 wants.
        assert_eq!(Chain::of_cycle(&cycle), Chain { links: vec![link(0xa, 3), link(0xb, 7)], cycle: Some(0) });
    }

    #[test]
    fn a_chain_that_ends_in_a_cycle_has_no_holder() {
        let locks = [held(0xa, 3, &[7, 9]), held(0xb, 7, &[3])];
        assert!(holders(&locks).is_empty());
    }

    #[test]
    fn a_writer_waits_for_every_reader_and_a_cycle_through_one_of_them_is_uncertain() {
        // 5 wants to write what 3, 6 and 8 read; 6 wants what 5 holds.
        let locks = [read(0xa, &[3, 6, 8], &[5]), held(0xb, 5, &[6])];
        assert_eq!(
            cycles(&locks),
            [Cycle {
                cycle: vec![step(5, 0xa), step(6, 0xb)],
                certain: false,
                doubt: INFERRED,
                limits: vec![],
                victims: vec![]
            }]
        );
        let end = Holder {
            tid: Tid(3),
            beside: vec![Tid(8)],
            locks: vec![Addr(0xa)],
            waiters: vec![Tid(5), Tid(6)],
            certain: false,
        };
        assert_eq!(holders(&locks), [end], "the readers that go on are one end");
    }

    #[test]
    fn each_reader_that_waits_for_the_writer_closes_a_cycle_of_its_own() {
        let locks = [read(0xa, &[3, 6], &[5]), held(0xb, 5, &[3, 6])];
        let expected = [
            Cycle {
                cycle: vec![step(3, 0xb), step(5, 0xa)],
                certain: false,
                doubt: INFERRED,
                limits: vec![],
                victims: vec![Tid(6)],
            },
            Cycle {
                cycle: vec![step(5, 0xa), step(6, 0xb)],
                certain: false,
                doubt: INFERRED,
                limits: vec![],
                victims: vec![Tid(3)],
            },
        ];
        assert_eq!(cycles(&locks), expected);
    }

    #[test]
    fn a_reader_that_asks_again_behind_a_writer_waits_for_itself() {
        let found = cycles(&[read(0xa, &[3], &[5, 3])]);
        assert_eq!(
            found,
            [Cycle {
                cycle: vec![step(3, 0xa)],
                certain: false,
                doubt: INFERRED,
                limits: vec![],
                victims: vec![Tid(5)]
            }]
        );
    }

    #[test]
    fn rings_of_one_tangle_are_bounded() {
        let readers: Vec<u32> = (10..100).collect();
        let found = cycles(&[read(0xa, &readers, &[5]), held(0xb, 5, &readers)]);
        assert_eq!(found.len(), MAX_CYCLES);
        assert!(found.iter().all(|cycle| cycle.victims.len() == 89), "the others are victims");
    }

    #[test]
    fn a_long_chain_into_a_cycle_is_walked_without_recursion() {
        // 1 ↔ 2, and n waits for n - 1.
        let mut locks = vec![held(1, 1, &[2]), held(2, 2, &[1, 3])];
        locks.extend((3..50_000).map(|tid| held(u64::from(tid), tid, &[tid + 1])));
        let found = cycles(&locks);
        assert_eq!(found.iter().map(|cycle| cycle.victims.len()).collect::<Vec<_>>(), [49_998]);
    }
}
