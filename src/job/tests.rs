use rayon::prelude::*;

use super::*;

#[test]
fn workers_count_together() {
    let job = Job::default();
    job.phase("counting", 10_000);
    (0..10_000u64)
        .into_par_iter()
        .map_init(|| job.meter(), |meter, _| meter.add(1))
        .collect::<Result<(), _>>()
        .unwrap();
    assert_eq!(job.progress().done, 10_000, "what is left is told when a meter is dropped");
}

#[test]
fn a_meter_tells_slow_items_one_by_one() {
    let job = Job::default();
    job.phase("unpacking", 0);
    let mut meter = job.meter();
    meter.add(7).unwrap();
    assert_eq!(job.progress().done, 7, "the first is told at once");
}

#[test]
fn a_meter_tells_slow_items_after_fast_ones_when_somebody_has_looked() {
    let job = Job::default();
    job.phase("reading", 0);
    let mut meter = job.meter();
    for _ in 0..100_000 {
        meter.add(1).unwrap();
    }
    // Whatever comes now may be slow.
    job.progress();
    meter.add(1).unwrap();
    assert_eq!(job.progress().done, 100_001);
    meter.add(1).unwrap();
    assert_eq!(job.progress().done, 100_002);
    job.cancel();
    assert!(matches!(meter.add(1), Err(Error::Cancelled)), "the first item after it was cancelled");
}

#[test]
fn a_meter_of_a_part_tells_who_looks_at_the_whole() {
    let job = Job::default();
    job.phase("summary", 1);
    let (first, last) = (job.child(1), job.child(0));
    first.phase("reading", 200_000);
    last.phase("naming", 0);
    let mut meter = first.meter();
    for _ in 0..100_000 {
        meter.add(1).unwrap();
    }
    job.progress();
    meter.add(0).unwrap();
    assert_eq!(job.progress().share, Some(0.5));
}

#[test]
fn a_meter_stops_with_its_job() {
    let job = Job::default();
    let mut meter = job.meter();
    job.cancel();
    assert!(matches!(meter.add(1), Err(Error::Cancelled)));
}

#[test]
fn parts_count_for_the_whole_by_their_weight() {
    let job = Job::default();
    job.phase("summary", 4);
    let part = job.child(3);
    part.phase_of(Unit::Bytes, "reading", 100);
    part.advance(50).unwrap();
    let progress = job.progress();
    assert_eq!((progress.phase, progress.unit, progress.done, progress.total), ("reading", Unit::Bytes, 50, 100));
    assert_eq!(progress.share, Some(1.5 / 4.0));
    drop(part);
    assert_eq!((job.progress().phase, job.progress().share), ("summary", Some(3.0 / 4.0)));
}

#[test]
fn a_part_is_cancelled_with_the_whole() {
    let job = Job::default();
    let (before, inner) = (job.child(1), Job::child(&job.child(1), 1));
    job.cancel();
    assert!(before.is_cancelled() && job.child(1).is_cancelled(), "one that began before, one that begins later");
    assert!(!inner.is_cancelled(), "its own whole was over");
    let job = Job::default();
    let outer = job.child(1);
    let inner = outer.child(1);
    job.cancel();
    assert!(inner.is_cancelled(), "parts of parts");
}

#[test]
fn what_a_part_waits_for_is_cancelled_with_the_whole() {
    let (job, shared) = (Job::default(), Shared::<()>::default());
    let part = job.child(1);
    let answer = shared.get(&part, |work| {
        job.cancel();
        work.check()
    });
    assert!(matches!(answer, Err(Error::Cancelled)));
}
