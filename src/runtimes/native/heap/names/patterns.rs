//! Containers of the standard library of C++ without debug information: what holds a block says by the words beside the
//! pointer what the block is, or its own words lead to others that lead back.
//!
//! Every pattern is checked against the block's size or against links in both directions: a number that happens to look
//! like a pointer does not pass. Layouts: libstdc++, the same since GCC 5; vectors and lists of libc++ are alike.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::capture::Memory;
use crate::heap::{ObjectId, Objects};
use crate::model::Addr;

/// What a block is, the surest last: of two patterns it is the surer one. An iterator of a deque looks like a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Pattern {
    Vector = 1,
    Text,
    ListNode,
    TreeNode,
    HashNode,
    Buckets,
    DequeMap,
    DequeBlock,
}

const ALL: [Pattern; 8] = [
    Pattern::Vector,
    Pattern::Text,
    Pattern::ListNode,
    Pattern::TreeNode,
    Pattern::HashNode,
    Pattern::Buckets,
    Pattern::DequeMap,
    Pattern::DequeBlock,
];

impl Pattern {
    pub(super) fn name(self) -> &'static str {
        match self {
            Pattern::Text => "std::string buffer",
            Pattern::Vector => "std::vector buffer",
            Pattern::DequeBlock => "block of std::deque",
            Pattern::DequeMap => "map of std::deque",
            Pattern::Buckets => "buckets of std::unordered_map or set",
            Pattern::HashNode => "node of std::unordered_map or set",
            Pattern::TreeNode => "node of std::map or set",
            Pattern::ListNode => "node of std::list",
        }
    }

    /// Whether the container itself refers to it: who holds that is of interest.
    pub(super) fn has_holder(self) -> bool {
        matches!(self, Pattern::Text | Pattern::Vector | Pattern::DequeMap | Pattern::Buckets)
    }
}

/// The largest text that is kept in the string itself. Source: libstdc++ bits/basic_string.h, _S_local_capacity.
const LOCAL_TEXT: u64 = 15;
/// Bytes of a deque's block, where an element is no larger. Source: libstdc++ bits/stl_deque.h, _GLIBCXX_DEQUE_BUF_SIZE.
const DEQUE_BLOCK: u64 = 512;
/// Links that are followed from all holders, for each object.
const LINKS: u64 = 8;

/// What is looked at, and what the blocks were found to be.
pub(super) struct Patterns<'a> {
    memory: &'a Memory,
    objects: &'a Objects,
    takes: &'a (dyn Fn(ObjectId, u64) -> u64 + Sync),
    /// By object.
    found: Vec<AtomicU8>,
    links: AtomicU64,
}

impl<'a> Patterns<'a> {
    pub(super) fn new(
        memory: &'a Memory,
        objects: &'a Objects,
        takes: &'a (dyn Fn(ObjectId, u64) -> u64 + Sync),
    ) -> Patterns<'a> {
        let found = (0..objects.len()).map(|_| AtomicU8::new(0)).collect();
        Patterns { memory, objects, takes, found, links: AtomicU64::new(0) }
    }

    pub(super) fn of(&self, id: ObjectId) -> Option<Pattern> {
        let found = self.found.get(id as usize)?.load(Ordering::Relaxed);
        ALL.into_iter().find(|pattern| *pattern as u8 == found)
    }

    fn mark(&self, id: ObjectId, pattern: Pattern) {
        if let Some(slot) = self.found.get(id as usize) {
            slot.fetch_max(pattern as u8, Ordering::Relaxed);
        }
    }

    /// Looks at the words that begin with a pointer to the start of a block.
    pub(super) fn holder(&self, object: ObjectId, holder: &[u8]) {
        let word = |index: usize| -> Option<u64> {
            Some(u64::from_le_bytes(*holder.get(index.checked_mul(8)?..)?.first_chunk::<8>()?))
        };
        let (Some(start), Some(second), Some(third)) = (word(0), word(1), word(2)) else { return };
        let fits = |bytes: u64| bytes > 0 && (self.takes)(object, bytes) == self.objects.bytes(object);
        if start <= second && second <= third && third > start && fits(third.wrapping_sub(start)) {
            // _M_start, _M_finish, _M_end_of_storage. Source: libstdc++ bits/stl_vector.h.
            return self.mark(object, Pattern::Vector);
        }
        if second <= third && third > LOCAL_TEXT && third < u64::from(u32::MAX) && fits(third.saturating_add(1)) {
            // _M_p, _M_string_length, _M_allocated_capacity. Source: libstdc++ bits/basic_string.h.
            let ends = start.checked_add(second).and_then(|at| self.memory.u8(Addr(at)).ok()) == Some(0);
            if ends {
                self.mark(object, Pattern::Text);
            }
            return;
        }
        if second > 1 && second.checked_mul(8).is_some_and(fits) {
            if let (Some(count), Some(load)) = (word(3), word(4)) {
                self.hash(object, third, count, load as u32);
            }
            let iterators = [2, 3, 4, 5, 6, 7, 8, 9].map(word);
            if let [Some(cur), Some(first), Some(last), Some(node), Some(end), Some(from), Some(to), Some(until)] =
                iterators
            {
                self.deque(object, (start, second), [cur, first, last, node], [end, from, to, until]);
            }
        }
    }

    /// _M_buckets, _M_bucket_count, _M_before_begin, _M_element_count, _M_rehash_policy (max_load_factor first).
    /// Source: libstdc++ bits/hashtable.h.
    fn hash(&self, buckets: ObjectId, first: u64, count: u64, load: u32) {
        let load = f32::from_bits(load);
        if !(load > 0.0 && load <= 64.0) || count > u64::from(self.objects.len()) || (count == 0) != (first == 0) {
            return;
        }
        let mut nodes = Vec::new();
        let mut at = first;
        while at != 0 && (nodes.len() as u64) < count {
            let Some(node) = self.follow(at) else { return };
            nodes.push(node);
            let Ok(next) = self.memory.u64(Addr(at)) else { return };
            at = next;
        }
        if at == 0 && nodes.len() as u64 == count {
            self.mark(buckets, Pattern::Buckets);
            nodes.into_iter().for_each(|node| self.mark(node, Pattern::HashNode));
        }
    }

    /// _M_map, _M_map_size, _M_start, _M_finish: each _M_cur, _M_first, _M_last, _M_node. Source: libstdc++
    /// bits/stl_deque.h.
    fn deque(&self, map: ObjectId, (at, slots): (u64, u64), start: [u64; 4], finish: [u64; 4]) {
        let is_node = |[cur, first, last, node]: [u64; 4]| {
            let size = last.wrapping_sub(first);
            let is_in_map = node >= at && node.wrapping_sub(at) < slots.saturating_mul(8) && node.is_multiple_of(8);
            let is_block =
                first <= cur && cur <= last && first < last && (size >= DEQUE_BLOCK || size > DEQUE_BLOCK / 2);
            is_in_map && is_block && self.memory.u64(Addr(node)) == Ok(first)
        };
        let (size, used) = (start[2].wrapping_sub(start[1]), finish[3].wrapping_sub(start[3]) / 8);
        if !is_node(start) || !is_node(finish) || finish[3] < start[3] || finish[2].wrapping_sub(finish[1]) != size {
            return;
        }
        let mut blocks = Vec::new();
        for slot in 0..=used {
            let place = slot.checked_mul(8).and_then(|offset| start[3].checked_add(offset));
            let Some(block) = place.and_then(|place| self.memory.u64(Addr(place)).ok()) else { return };
            let Some(block) = self.follow(block) else { return };
            if (self.takes)(block, size) != self.objects.bytes(block) {
                return;
            }
            blocks.push(block);
        }
        self.mark(map, Pattern::DequeMap);
        blocks.into_iter().for_each(|block| self.mark(block, Pattern::DequeBlock));
    }

    /// The block that begins where a link leads; none once too many were followed.
    fn follow(&self, at: u64) -> Option<ObjectId> {
        let followed = self.links.fetch_add(1, Ordering::Relaxed);
        let most = u64::from(self.objects.len()).saturating_mul(LINKS);
        self.objects.at(Addr(at)).filter(|_| followed < most)
    }

    /// Looks at the links that a block begins with.
    pub(super) fn links(&self, id: ObjectId) {
        let Some(at) = self.objects.address(id) else { return };
        let Ok(bytes) = self.memory.slice_up_to(at, 32) else { return };
        let own = |index: usize| bytes.as_chunks::<8>().0.get(index).map(|word| u64::from_le_bytes(*word));
        let word = |at: u64, index: u64| self.memory.u64(Addr(at.checked_add(index.checked_mul(8)?)?)).ok();
        let is_at = |address: Option<u64>| address == Some(at.0);
        let is_pointer = |to: u64| to != 0 && to != at.0 && to.is_multiple_of(8);
        // _M_color, _M_parent, _M_left, _M_right. Source: libstdc++ bits/stl_tree.h, _Rb_tree_node_base.
        if let (Some(color), Some(parent), Some(left), Some(right)) = (own(0), own(1), own(2), own(3))
            && color as u32 <= 1
            && is_pointer(parent)
        {
            // The root's parent is the head, whose parent is the root.
            let is_child =
                (1..4).any(|link| is_at(word(parent, link))) && word(parent, 0).is_some_and(|color| color as u32 <= 1);
            let is_parent = |child: u64| child == 0 || (is_pointer(child) && is_at(word(child, 1)));
            if is_child && is_parent(left) && is_parent(right) {
                return self.mark(id, Pattern::TreeNode);
            }
        }
        // _M_next, _M_prev. Source: libstdc++ bits/stl_list.h, _List_node_base.
        if let (Some(next), Some(previous)) = (own(0), own(1))
            && is_pointer(next)
            && is_pointer(previous)
            && is_at(word(next, 1))
            && is_at(word(previous, 0))
        {
            self.mark(id, Pattern::ListNode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::heap::{HeapObject, HeapSource, HeapType, Visit};
    use crate::job::{Job, Meter};
    use crate::model::Problem;

    const HEAP: u64 = 0x1000;

    /// Blocks of so many bytes, one behind the other.
    struct Blocks(Vec<u64>);

    impl HeapSource for Blocks {
        fn name(&self) -> &str {
            "blocks"
        }

        fn types(&self) -> &[HeapType] {
            &[]
        }

        fn parts(&self) -> usize {
            1
        }

        fn objects(&self, _: usize, _: &mut Meter<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
            let mut at = HEAP;
            self.0.iter().try_for_each(|bytes| {
                let address = Addr(at);
                at += bytes;
                visit(HeapObject { address, of_type: 0, bytes: *bytes })
            })
        }

        fn problems(&self) -> Vec<Problem> {
            Vec::new()
        }
    }

    /// What blocks with these words are, told by these holders: the block that is held, and the words that hold it.
    fn told(sizes: &[u64], words: &[u64], holders: &[(ObjectId, &[u64])]) -> Vec<Option<Pattern>> {
        let memory = Memory::of(HEAP, words);
        let objects = Objects::of(&Blocks(sizes.to_vec()), &Job::default()).expect("few");
        let takes = |_: ObjectId, bytes: u64| bytes.next_multiple_of(16);
        let patterns = Patterns::new(&memory, &objects, &takes);
        for (object, holder) in holders {
            let bytes: Vec<u8> = holder.iter().flat_map(|word| word.to_le_bytes()).collect();
            patterns.holder(*object, &bytes);
        }
        (0..objects.len()).for_each(|id| patterns.links(id));
        (0..objects.len()).map(|id| patterns.of(id)).collect()
    }

    #[test]
    fn a_vector_and_a_text_are_told_by_who_holds_them_and_only_where_the_size_fits() {
        let words = [7, 7, 7, 7, u64::from_le_bytes(*b"abcdefgh"), u64::from_le_bytes(*b"ijklmnop"), 0, 0];
        let both = |vector: &[u64], text: &[u64]| told(&[32, 32], &words, &[(0, vector), (1, text)]);
        let (first, second) = (HEAP, HEAP + 32);
        assert_eq!(
            both(&[first, first + 16, first + 32], &[second, 16, 30]),
            [Some(Pattern::Vector), Some(Pattern::Text)]
        );
        let none = [None, None];
        assert_eq!(both(&[first, first + 16, first + 48], &[second, 16, 60]), none, "larger than the blocks");
        assert_eq!(both(&[first, first + 40, first + 32], &[second, 31, 30]), none, "more than there is room for");
        assert_eq!(
            both(&[first, first - 8, first + 32], &[second, 15, 30]),
            none,
            "ends before it begins; no zero behind"
        );
        assert_eq!(both(&[first], &[]), none);
    }

    #[test]
    fn nodes_are_told_by_links_that_lead_back() {
        let at = |block: u64| HEAP + 32 * block;
        // The ring of a list of two nodes and its head, which is the third block; a number that leads nowhere.
        let list = [at(1), at(2), 1, 1, at(2), at(0), 2, 2, at(0), at(1), 0, 0, 5, 5, 0, 0];
        let node = Some(Pattern::ListNode);
        assert_eq!(told(&[32; 4], &list, &[]), [node, node, node, None]);
        // The root of a tree with its head, and a child on the left.
        let tree = [1, at(2), at(1), 0, 0, at(0), 0, 0, 0, at(0), at(1), at(0), 0, 0, 0, 0];
        let node = Some(Pattern::TreeNode);
        assert_eq!(told(&[32; 4], &tree, &[])[..2], [node, node]);
    }

    #[test]
    fn buckets_are_told_where_as_many_nodes_follow_as_are_counted() {
        let at = |block: u64| HEAP + 32 * block;
        let words = [0, 0, 0, 0, at(2), 1, 1, 1, 0, 2, 2, 2];
        let load = u64::from(1f32.to_bits());
        let map = |count: u64| told(&[32; 3], &words, &[(0, &[at(0), 4, at(1), count, load])]);
        let node = Some(Pattern::HashNode);
        assert_eq!(map(2), [Some(Pattern::Buckets), node, node]);
        assert_eq!([map(1), map(3), map(u64::MAX)], [[None; 3]; 3].map(Vec::from));
    }

    #[test]
    fn chains_that_go_round_are_left_and_cost_a_bounded_number_of_steps() {
        let at = |block: u64| HEAP + 32 * block;
        let words = [0, 0, 0, 0, at(1), 1, 1, 1];
        let load = u64::from(1f32.to_bits());
        let holder = [at(0), 4, at(1), 2, load];
        let holders: Vec<(ObjectId, &[u64])> = (0..100).map(|_| (0, &holder[..])).collect();
        let memory = Memory::of(HEAP, &words);
        let objects = Objects::of(&Blocks(vec![32; 2]), &Job::default()).expect("few");
        let patterns = Patterns::new(&memory, &objects, &|_, bytes| bytes);
        for (object, holder) in holders {
            let bytes: Vec<u8> = holder.iter().flat_map(|word| word.to_le_bytes()).collect();
            patterns.holder(object, &bytes);
        }
        assert_eq!([patterns.of(0), patterns.of(1)], [None, None]);
        assert!(patterns.links.load(Ordering::Relaxed) <= 2 * 100);
        assert_eq!(patterns.follow(at(1)), None, "no more links are followed");
    }
}
