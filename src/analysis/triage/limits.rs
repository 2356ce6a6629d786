//! Waits that end by themselves, in words.

use crate::model::TimeLimit;

use super::finding::Sentence;

/// `at most 1.4 s more`, of several the longest; `only until a time that the dump does not tell`.
pub(super) fn at_most(limits: &[TimeLimit]) -> Sentence {
    let longest =
        |of: fn(&TimeLimit) -> Option<u64>| limits.iter().map(of).collect::<Option<Vec<u64>>>()?.into_iter().max();
    let words = match (longest(|limit| limit.left_ms), longest(TimeLimit::most_ms)) {
        (Some(left), _) => format!("at most {} more", span(left)),
        (None, Some(whole)) => format!("at most {}", span(whole)),
        (None, None) => "only until a time that the dump does not tell".to_owned(),
    };
    Sentence::of(words)
}

/// The shortest of several limits; `None` where one is not known.
pub(super) fn first_ms(limits: &[TimeLimit]) -> Option<u64> {
    limits.iter().map(TimeLimit::most_ms).collect::<Option<Vec<u64>>>()?.into_iter().min()
}

/// Milliseconds as a person says them: `850 ms`, `1.4 s`, `2 min 5 s`, `3 h 12 min`, `12 days`.
pub(super) fn span(ms: u64) -> String {
    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let two = |large: u64, word: &str, small: u64, rest: &str| match small {
        0 => format!("{large} {word}"),
        small => format!("{large} {word} {small} {rest}"),
    };
    match ms {
        0..SECOND => format!("{ms} ms"),
        SECOND..MINUTE => match (ms / SECOND, ms % SECOND / 100) {
            (seconds, 0) => format!("{seconds} s"),
            (seconds, tenths) => format!("{seconds}.{tenths} s"),
        },
        MINUTE..HOUR => two(ms / MINUTE, "min", ms % MINUTE / SECOND, "s"),
        HOUR..DAY => two(ms / HOUR, "h", ms % HOUR / MINUTE, "min"),
        DAY.. => match ms / DAY {
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tid;

    #[test]
    fn spans_are_said_in_units_of_their_size() {
        let said = [850, 2_000, 1_450, 125_000, 11_520_000, 86_400_000, 1_036_800_000].map(span);
        assert_eq!(said, ["850 ms", "2 s", "1.4 s", "2 min 5 s", "3 h 12 min", "1 day", "12 days"]);
    }

    #[test]
    fn the_longest_wait_is_told_and_one_that_is_not_known_hides_the_others() {
        let limit = |left_ms, whole_ms| TimeLimit { tid: Tid(1), left_ms, whole_ms };
        let said = |limits: &[TimeLimit]| at_most(limits).to_string();
        assert_eq!(said(&[limit(Some(900), None), limit(Some(1900), None)]), "at most 1.9 s more");
        assert_eq!(said(&[limit(Some(900), None), limit(None, Some(2000))]), "at most 2 s");
        let unknown = [limit(Some(900), None), limit(None, None)];
        assert_eq!(said(&unknown), "only until a time that the dump does not tell");
        assert_eq!(first_ms(&unknown), None);
    }
}
