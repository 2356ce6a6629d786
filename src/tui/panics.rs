//! Panics of threads other than the one that draws: where each was, for whoever catches it or is told.
//!
//! The hook sees the place and the message, whoever catches a panic the message alone, and maybe on another thread: rayon passes a panic on
//! to the thread that waits for the work. So places are kept by message.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Mutex, PoisonError};

/// Places that are kept; who catches a panic asks at once.
const KEPT: usize = 32;

/// Message and place, `src/a.rs:12`, the newest last.
static PLACES: Mutex<VecDeque<(String, String)>> = Mutex::new(VecDeque::new());

/// Keeps where a panic was; for the hook.
pub(super) fn record(info: &PanicHookInfo<'_>) {
    let Some(place) = info.location().map(|place| format!("{}:{}", place.file(), place.line())) else { return };
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    if places.len() >= KEPT {
        places.pop_front();
    }
    places.push_back((message(info.payload()), place));
}

/// Does work; a panic becomes what it said, and where it was, as far as the hook recorded it.
pub(super) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let said = message(panic.as_ref());
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        let at = places.iter().rposition(|(message, _)| *message == said);
        match at.and_then(|at| places.remove(at)) {
            Some((_, place)) => format!("{said} at {place}"),
            None => said,
        }
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    #[test]
    fn a_panic_of_the_pool_is_told_with_its_own_place() {
        let before = panic::take_hook();
        panic::set_hook(Box::new(record));
        let (first, second) = rayon::join(
            || contained(|| (0..64).into_par_iter().for_each(|at| assert!(at != 40, "the first is wrong"))),
            || contained(|| (0..64).into_par_iter().for_each(|at| assert!(at != 7, "the second is wrong"))),
        );
        let none = contained(|| 7);
        panic::set_hook(before);
        for (told, said) in [(first, "the first is wrong at "), (second, "the second is wrong at ")] {
            let told = told.expect_err("it panics");
            assert!(told.starts_with(said) && told.contains(&format!("{}:", file!())), "{told}");
        }
        assert_eq!(none, Ok(7));
    }
}
