//! Free objects that their spans count as taken: those in threads' caches, and those on the way between them.

use rustc_hash::FxHashSet;

use super::layout::{
    CACHE_NEXT, CACHE_PREVIOUS, CACHE_SIZE, CENTRAL, CENTRAL_CLASS, CENTRAL_SLOTS, CENTRAL_USED, CLASSES, FREE_LIST,
    LIST_LENGTH, LIST_SIZE, MAX_SIZE, MAX_TRANSFERS,
};
use crate::capture::Memory;
use crate::error::Error;
use crate::heap::Free;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::native::heap::parts::Odd;
use crate::runtimes::native::heap::reading::{Window, add, data, words};
use crate::target::{Module, Target};

/// Most words of data that are looked at as threads' caches.
const MAX_TRIED: usize = 1 << 22;
/// Most caches.
const MAX_CACHES: usize = 1 << 20;
/// Most objects of a list.
const MAX_LISTED: u64 = 1 << 24;
/// Most objects of all lists.
const MAX_OBJECTS: usize = 1 << 27;
/// Classes by which the central lists are found: each states its own.
const ASKED: u64 = 24;

/// What is known of classes and lists.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Bytes of each class, from class 0, which has none.
    pub sizes: Vec<u64>,
    /// Objects in lists and their classes, ascending.
    pub objects: Vec<(u64, u64)>,
    /// In threads' caches.
    pub cached: Free,
    /// In transfer.
    pub transfer: Free,
    /// Lists that are not as long as they state, or lead nowhere.
    pub broken: Odd,
    /// Threads' caches.
    pub caches: Vec<u64>,
    /// Whether the central lists were found.
    pub has_central: bool,
}

/// Reads all lists; `None` where no thread's cache is found.
pub(super) fn read(target: &Target, module: &Module, job: &Job) -> Result<Option<Lists>, Error> {
    let memory = &target.memory;
    let Some((sizes, first)) = first_cache(target, module, job)? else { return Ok(None) };
    let mut lists = Lists { sizes, ..Lists::default() };
    let mut seen = FxHashSet::default();
    let mut cache = first;
    let mut window = Window::new(memory);
    while cache != 0 && lists.caches.len() < MAX_CACHES && seen.insert(cache) {
        job.check()?;
        lists.caches.push(cache);
        lists.read_cache(memory, cache);
        match window.u64(cache.saturating_add(CACHE_NEXT)) {
            Some(next) => cache = next,
            None => {
                lists.broken.add(cache);
                break;
            }
        }
    }
    if let Some(central) = central(memory, module, job)? {
        lists.has_central = true;
        for class in 1..lists.sizes.len() as u64 {
            job.check()?;
            lists.read_transfers(memory, central.saturating_add(class.saturating_mul(CENTRAL)), class);
        }
    }
    lists.objects.sort_unstable();
    lists.objects.dedup_by_key(|(object, _)| *object);
    Ok(Some(lists))
}

/// The first of the threads' caches, which the library has a variable for, and the sizes of classes, which each repeats.
fn first_cache(target: &Target, module: &Module, job: &Job) -> Result<Option<(Vec<u64>, u64)>, Error> {
    let memory = &target.memory;
    let mut tried = 0usize;
    for (start, bytes) in data(memory, module) {
        for (_, cache) in words(start, bytes) {
            let may_be = cache != 0 && cache.is_multiple_of(8) && target.module_at(Addr(cache)).is_none();
            if !may_be || memory.segment_at(Addr(cache)).is_none() {
                continue;
            }
            tried = tried.saturating_add(1);
            if tried > MAX_TRIED {
                return Ok(None);
            }
            job.check()?;
            let is_first = |sizes: &Vec<u64>| {
                let link = |offset: u64| memory.u64(Addr(cache).plus(offset)?).ok();
                let next = link(CACHE_NEXT)?;
                let back = match next {
                    0 => Some(cache),
                    next => memory.u64(Addr(next).plus(CACHE_PREVIOUS)?).ok(),
                };
                Some(sizes.len() > 8 && link(CACHE_PREVIOUS)? == 0 && back == Some(cache))
            };
            if let Some(sizes) = sizes(memory, cache).filter(|sizes| is_first(sizes).unwrap_or(false)) {
                return Ok(Some((sizes, cache)));
            }
        }
    }
    Ok(None)
}

/// What a cache says of classes: sizes that ascend up to the largest.
fn sizes(memory: &Memory, cache: u64) -> Option<Vec<u64>> {
    let mut window = Window::new(memory);
    let mut sizes = vec![0u64];
    for class in 0..CLASSES {
        let at = cache.checked_add(class.checked_mul(FREE_LIST)?)?.checked_add(LIST_SIZE)?;
        let size = u64::from(window.u32(at)?);
        match (class, sizes.last().copied()?) {
            (0, _) if size == 0 => {}
            (_, before) if class > 0 && size > before && size.is_multiple_of(8) && size <= MAX_SIZE => sizes.push(size),
            (_, before) => return (before == MAX_SIZE && size == 0).then_some(sizes),
        }
    }
    (sizes.last() == Some(&MAX_SIZE)).then_some(sizes)
}

/// The array of central lists.
fn central(memory: &Memory, module: &Module, job: &Job) -> Result<Option<u64>, Error> {
    for (start, bytes) in data(memory, module) {
        job.check()?;
        let state = |at: u64, class: u64| {
            let at = at.checked_add(class.checked_mul(CENTRAL)?)?.checked_add(CENTRAL_CLASS)?;
            memory.u64(Addr(at)).ok()
        };
        let ones = words(start, bytes).filter(|(_, word)| *word == 1);
        let places = ones.filter_map(|(at, _)| at.checked_sub(CENTRAL)?.checked_sub(CENTRAL_CLASS));
        let mut found = places.filter(|at| (0..ASKED).all(|class| state(*at, class) == Some(class)));
        if let Some(at) = found.next() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

impl Lists {
    fn read_cache(&mut self, memory: &Memory, cache: u64) {
        let mut window = Window::new(memory);
        let mut of_lists = Free::default();
        for class in 1..self.sizes.len() as u64 {
            let list = cache.saturating_add(class.saturating_mul(FREE_LIST));
            let length = window.u32(list.saturating_add(LIST_LENGTH)).map(u64::from);
            let (Some(head), Some(length)) = (window.u64(list), length) else {
                self.broken.add(list);
                continue;
            };
            let (found, end) = self.follow(memory, head, length.min(MAX_LISTED), class);
            if found != length || end != 0 {
                self.broken.add(list);
            }
            add(&mut of_lists, found, found.saturating_mul(self.size(class)));
        }
        if window.u32(cache.saturating_add(CACHE_SIZE)).map(u64::from) != Some(of_lists.bytes) {
            self.broken.add(cache);
        }
        add(&mut self.cached, of_lists.count, of_lists.bytes);
    }

    fn read_transfers(&mut self, memory: &Memory, central: u64, class: u64) {
        let mut window = Window::new(memory);
        let used = window.u32(central.saturating_add(CENTRAL_USED)).map(u64::from);
        let Some(used) = used.filter(|used| *used <= MAX_TRANSFERS) else {
            self.broken.add(central);
            return;
        };
        for slot in 0..used {
            let at = central.saturating_add(CENTRAL_SLOTS).saturating_add(slot.saturating_mul(16));
            let (found, end) = self.follow(memory, window.u64(at).unwrap_or(0), MAX_LISTED, class);
            if found == 0 || end != 0 {
                self.broken.add(at);
            }
            let bytes = found.saturating_mul(self.size(class));
            add(&mut self.transfer, found, bytes);
        }
    }

    /// Follows a list; tells how many objects it has, and where its last link leads.
    fn follow(&mut self, memory: &Memory, head: u64, limit: u64, class: u64) -> (u64, u64) {
        let mut window = Window::new(memory);
        let (mut object, mut found) = (head, 0u64);
        // Brent: a list that goes round comes by an object that was marked at a power of two.
        let (mut marked, mut until) = (0u64, 1u64);
        while object != 0 && found < limit && object != marked && self.objects.len() < MAX_OBJECTS {
            let Some(next) = window.u64(object) else { break };
            self.objects.push((object, class));
            found = found.saturating_add(1);
            if found == until {
                (marked, until) = (object, until.saturating_mul(2));
            }
            object = next;
        }
        (found, object)
    }

    pub(super) fn size(&self, class: u64) -> u64 {
        usize::try_from(class).ok().and_then(|class| self.sizes.get(class)).copied().unwrap_or(0)
    }
}
