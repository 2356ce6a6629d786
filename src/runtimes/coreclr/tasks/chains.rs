//! Stacks of what goes on with what: ways through a graph from what nothing in it is awaited by to what nobody awaits.
//!
//! Input: for each node those that go on when it is done. Output: ways, innermost node first. A circle is cut where it closes; the
//! number of nodes on all ways together has a limit, since ways through a graph can be more than its nodes by far.

/// Most nodes of all ways together.
const MAX_NODES: usize = 1 << 21;

/// Ways through the graph.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chains {
    /// Each from the innermost node to one that nobody awaits.
    pub(super) all: Vec<Vec<u32>>,
    /// Whether there are more.
    pub(super) is_cut: bool,
}

/// Finds them, those of the first node first.
pub(super) fn chains(goes_on: &[Vec<u32>]) -> Chains {
    let mut is_awaiter = vec![false; goes_on.len()];
    for (from, to) in goes_on.iter().enumerate() {
        for to in to {
            if let Some(is_awaiter) = is_awaiter.get_mut(*to as usize).filter(|_| *to as usize != from) {
                *is_awaiter = true;
            }
        }
    }
    let mut search = Search { goes_on, seen: vec![false; goes_on.len()], found: Chains::default(), nodes: 0 };
    let count = u32::try_from(goes_on.len()).unwrap_or(u32::MAX);
    for start in (0..count).filter(|node| !is_awaiter.get(*node as usize).copied().unwrap_or(true)) {
        if search.found.is_cut {
            break;
        }
        search.from(start);
    }
    // What only a circle leads to has no beginning.
    for start in 0..count {
        if !search.has_seen(start) && !search.found.is_cut {
            search.from(start);
        }
    }
    search.found
}

struct Search<'a> {
    goes_on: &'a [Vec<u32>],
    seen: Vec<bool>,
    found: Chains,
    nodes: usize,
}

impl Search<'_> {
    fn has_seen(&self, node: u32) -> bool {
        self.seen.get(node as usize).copied().unwrap_or(true)
    }

    fn from(&mut self, start: u32) {
        // Of each node on the way, how many of those that go on were tried.
        let mut way: Vec<(u32, usize)> = Vec::new();
        let mut is_on_way = rustc_hash::FxHashSet::default();
        let mut next = Some(start);
        loop {
            if let Some(node) = next.take() {
                if let Some(seen) = self.seen.get_mut(node as usize) {
                    *seen = true;
                }
                way.push((node, 0));
                is_on_way.insert(node);
                if !self.goes_on_from(node).iter().any(|to| !is_on_way.contains(to)) && !self.keep(&way) {
                    return;
                }
            }
            let Some((node, tried)) = way.last_mut() else { return };
            let rest = self.goes_on.get(*node as usize).and_then(|all| all.get(*tried..)).unwrap_or_default();
            match rest.iter().position(|to| !is_on_way.contains(to)) {
                Some(position) => {
                    next = rest.get(position).copied();
                    *tried = tried.saturating_add(position).saturating_add(1);
                }
                None => {
                    is_on_way.remove(node);
                    way.pop();
                }
            }
        }
    }

    fn goes_on_from(&self, node: u32) -> &[u32] {
        self.goes_on.get(node as usize).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether there was room.
    fn keep(&mut self, way: &[(u32, usize)]) -> bool {
        self.nodes = self.nodes.saturating_add(way.len());
        if self.nodes > MAX_NODES {
            self.found.is_cut = true;
            return false;
        }
        self.found.all.push(way.iter().map(|(node, _)| *node).collect());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(goes_on: &[&[u32]]) -> Vec<Vec<u32>> {
        let found = chains(&goes_on.iter().map(|to| to.to_vec()).collect::<Vec<_>>());
        assert!(!found.is_cut);
        found.all
    }

    #[test]
    fn a_way_leads_from_what_awaits_nothing_to_what_nobody_awaits() {
        // 0 is awaited by 1, that by 2; 3 by nobody.
        assert_eq!(ways(&[&[1], &[2], &[], &[]]), [vec![0, 1, 2], vec![3]]);
        // A source with two awaiters, and one that awaits two.
        assert_eq!(ways(&[&[1, 2], &[], &[]]), [[0, 1], [0, 2]]);
        assert_eq!(ways(&[&[2], &[2], &[]]), [[0, 2], [1, 2]]);
        assert!(ways(&[]).is_empty());
    }

    #[test]
    fn circles_end_where_they_close() {
        assert_eq!(ways(&[&[0]]), [[0]]);
        assert_eq!(ways(&[&[1], &[0]]), [[0, 1]]);
        assert_eq!(ways(&[&[1], &[2], &[1]]), [[0, 1, 2]]);
        // What is no node leads nowhere.
        assert_eq!(ways(&[&[7]]).len(), 1);
    }

    #[test]
    fn more_ways_than_there_is_room_for_are_cut() {
        // 40 times two ways from one node to the next: 2 to the 40 ways.
        let goes_on: Vec<Vec<u32>> =
            (0..40).flat_map(|at| [vec![at * 3 + 1, at * 3 + 2], vec![at * 3 + 3], vec![at * 3 + 3]]).collect();
        let with = |more: usize| chains(&[goes_on.clone(), vec![Vec::new(); more]].concat());
        assert!(with(1).is_cut);
        // Nothing is looked for behind the cut: the second of these nobody awaits, nor does it await anything.
        assert_eq!(with(2), with(1));
    }

    #[test]
    fn long_chains_need_no_stack_of_ours() {
        let goes_on: Vec<Vec<u32>> =
            (1..=100_000).map(|next| if next < 100_000 { vec![next] } else { vec![] }).collect();
        assert_eq!(chains(&goes_on).all.first().map(Vec::len), Some(100_000));
    }
}
