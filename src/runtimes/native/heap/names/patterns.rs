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
