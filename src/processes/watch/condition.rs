//! Conditions as they are written: `rss>2G`, `cpu>90%:10`, `hang:30:worker`, `signal:SIGABRT`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::model::signal::signal_name;

/// Seconds over which the processor's use is averaged where the condition names none.
const CPU_WINDOW: u64 = 10;
/// Longest time that a condition may name, seconds: a day.
const MAX_SECONDS: u64 = 86_400;

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Resident memory is above this many bytes.
    Rss(u64),
    /// The processor time used within the window is above this share of it, percent; 100 is one processor.
    Cpu {
        /// Percent.
        percent: u32,
        /// The window.
        window: Duration,
    },
    /// A thread made no progress for this long.
    Hang {
        /// How long.
        time: Duration,
        /// Which.
        threads: Threads,
    },
    /// A thread is about to take this signal.
    Signal(i32),
}

/// Which threads a hang is looked for in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Threads {
    /// The first one.
    Main,
    /// Each of this name: one that stands still is enough.
    Named(String),
    /// All of them: the process hangs when none makes progress.
    All,
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Condition, String> {
        let wrong = |why: &str| {
            Err(format!(
                "'{text}' {why}: rss>BYTES[K|M|G|T], cpu>PERCENT%[:SECONDS], hang:SECONDS[:THREAD|:*], signal:NAME"
            ))
        };
        if let Some(limit) = text.strip_prefix("rss>") {
            return bytes(limit).map_or_else(|| wrong("names no size"), |bytes| Ok(Condition::Rss(bytes)));
        }
        if let Some(rest) = text.strip_prefix("cpu>") {
            let (percent, window) = rest.split_once(':').map_or((rest, None), |(percent, time)| (percent, Some(time)));
            let percent = percent.strip_suffix('%').unwrap_or(percent).parse().ok().filter(|percent| *percent > 0);
            let window = window.map_or(Some(Duration::from_secs(CPU_WINDOW)), seconds);
            return match (percent, window) {
                (Some(percent), Some(window)) => Ok(Condition::Cpu { percent, window }),
                _ => wrong("names no share and time"),
            };
        }
        if let Some(rest) = text.strip_prefix("hang:") {
            let (time, threads) = match rest.split_once(':') {
                None => (rest, Threads::Main),
                Some((time, "*")) => (time, Threads::All),
                Some((_, "")) => return wrong("names no thread"),
                Some((time, name)) => (time, Threads::Named(name.to_owned())),
            };
            return seconds(time).map_or_else(|| wrong("names no time"), |time| Ok(Condition::Hang { time, threads }));
        }
        if let Some(name) = text.strip_prefix("signal:") {
            return match signal(name) {
                Some(libc::SIGKILL | libc::SIGSTOP) => wrong("is a signal that cannot be held up"),
                Some(signal) => Ok(Condition::Signal(signal)),
                None => wrong("names no signal"),
            };
        }
        wrong("is no condition")
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Rss(bytes) => write!(f, "rss>{bytes}"),
            Condition::Cpu { percent, window } => write!(f, "cpu>{percent}%:{}", window.as_secs()),
            Condition::Hang { time, threads } => match threads {
                Threads::Main => write!(f, "hang:{}", time.as_secs()),
                Threads::Named(name) => write!(f, "hang:{}:{name}", time.as_secs()),
                Threads::All => write!(f, "hang:{}:*", time.as_secs()),
            },
            Condition::Signal(signal) => write!(f, "signal:{}", signal_text(*signal)),
        }
    }
}

/// A number of bytes with an optional power of 1,024: `512M`, `2G`, `1.5G`, `4096`.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim_end_matches(['B', 'b']).trim_end_matches('i');
    let (digits, power) = match text.char_indices().last()? {
        (at, 'K' | 'k') => (text.get(..at)?, 10),
        (at, 'M' | 'm') => (text.get(..at)?, 20),
        (at, 'G' | 'g') => (text.get(..at)?, 30),
        (at, 'T' | 't') => (text.get(..at)?, 40),
        _ => (text, 0u32),
    };
    let (whole, tenths) = match digits.split_once('.') {
        Some((whole, tenth)) if tenth.len() == 1 && power > 0 => (whole, tenth.parse::<u64>().ok()?),
        Some(_) => return None,
        None => (digits, 0),
    };
    let unit = 1u64.checked_shl(power)?;
    let part = unit.checked_mul(tenths)?.checked_div(10)?;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(part).filter(|bytes| *bytes > 0)
}

/// Whole seconds, 1 to a day.
fn seconds(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<u64>().ok()?;
    (1..=MAX_SECONDS).contains(&number).then(|| Duration::from_secs(number))
}

/// Signals there are: 1 to 64.
// Source: Linux include/uapi/asm-generic/signal.h, _NSIG.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;

/// `SIGABRT`, `ABRT`, `abrt` or `6`; those above 31 by their number alone.
fn signal(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return SIGNALS.contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    SIGNALS.into_iter().find(|number| signal_name(*number) == full)
}

/// The name of a signal, else its number.
fn signal_text(number: i32) -> String {
    let name = signal_name(number);
    if name.starts_with("SIG") { name } else { number.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Condition> {
        text.parse().ok()
    }

    #[test]
    fn conditions_are_read() {
        let seconds = Duration::from_secs;
        assert_eq!(read("rss>2G"), Some(Condition::Rss(2 << 30)));
        assert_eq!(read("rss>1.5G"), Some(Condition::Rss(1_610_612_736)));
        assert_eq!(read("rss>512MiB"), Some(Condition::Rss(512 << 20)));
        assert_eq!(read("cpu>90%"), Some(Condition::Cpu { percent: 90, window: seconds(10) }));
        assert_eq!(read("cpu>350%:3"), Some(Condition::Cpu { percent: 350, window: seconds(3) }));
        assert_eq!(read("hang:30"), Some(Condition::Hang { time: seconds(30), threads: Threads::Main }));
        assert_eq!(read("hang:30:*"), Some(Condition::Hang { time: seconds(30), threads: Threads::All }));
        let named = Threads::Named("io worker".to_owned());
        assert_eq!(read("hang:5s:io worker"), Some(Condition::Hang { time: seconds(5), threads: named }));
        for name in ["SIGABRT", "abrt", "6"] {
            assert_eq!(read(&format!("signal:{name}")), Some(Condition::Signal(libc::SIGABRT)), "{name}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_the_forms_there_are() {
        for text in [
            "",
            "rss",
            "rss>",
            "rss>0",
            "rss>-1",
            "rss>99999999999T",
            "rss>1.25G",
            "cpu>",
            "cpu>0%",
            "cpu>90%:0",
            "cpu>x%",
            "hang:",
            "hang:0",
            "hang:5:",
            "hang:86401",
            "signal:",
            "signal:SIGFOO",
            "signal:KILL",
            "signal:SIGSTOP",
            "signal:999",
            "disk>5",
        ] {
            let error = text.parse::<Condition>().expect_err(text);
            assert!(error.contains("rss>BYTES"), "{error}");
        }
    }

    #[test]
    fn a_condition_prints_as_it_is_read() {
        for text in ["rss>4096", "cpu>90%:3", "hang:30", "hang:30:*", "hang:5:io", "signal:SIGABRT", "signal:34"] {
            assert_eq!(read(text).expect(text).to_string(), text);
        }
    }
}
