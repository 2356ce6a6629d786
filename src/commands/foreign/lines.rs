//! Lines of other tools that carry numbers and formats, as lines of ours.

/// Most bytes that a line asks for; more is left to `readmemory`, which says what it takes.
const MOST: u64 = 1 << 20;

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// gdb's and lldb's `bt`: a number, `full`, `all`. Options are ours: `-full` unfolds a recursion.
pub(super) fn backtrace(words: &[&str]) -> Option<String> {
    let mut line = "stack".to_owned();
    for word in words {
        match *word {
            "full" => line.push_str(" -a"),
            "all" => line.push_str(" -all"),
            number if is_number(number) => line.push_str(&format!(" -n {number}")),
            _ => return None,
        }
    }
    // Nothing to translate: the words are ours.
    (!words.is_empty()).then_some(line)
}

/// SOS's `clrstack`; -f is all frames, -i the same stack in another way, -n without source lines. Before a number -n is ours.
pub(super) fn clrstack(words: &[&str]) -> Option<String> {
    let mut line = if words.contains(&"-f") { "stack" } else { "stack -managed" }.to_owned();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        match *word {
            "-all" | "-a" | "-p" | "-l" | "-r" => line.push_str(&format!(" {word}")),
            "-f" | "-i" => {}
            "-n" => match words.next_if(|word| is_number(word)) {
                Some(count) => line.push_str(&format!(" -n {count}")),
                None => line.push_str(" -nolines"),
            },
            // Nothing to translate: the words are ours.
            _ => return None,
        }
    }
    Some(line)
}

/// SOS's `dumpgen`: how many of each type a generation has; with -mt its objects.
pub(super) fn dumpgen(words: &[&str]) -> Option<String> {
    let (generation, rest) = words.split_first().filter(|(word, _)| !word.starts_with('-'))?;
    let stat = if rest.contains(&"-mt") || rest.contains(&"-stat") { "" } else { " -stat" };
    let rest: String = rest.iter().map(|word| format!(" {word}")).collect();
    Some(format!("dumpheap{stat} -gen {generation}{rest}"))
}

/// WinDbg's `k`, `kb`, `kn` …: a number in hexadecimal, as that debugger counts.
pub(super) fn k(words: &[&str]) -> Option<String> {
    match words {
        [] => Some("stack".to_owned()),
        [count] => {
            let digits = count.strip_prefix("0x").unwrap_or(count);
            u64::from_str_radix(digits, 16).ok().map(|count| format!("stack -n {count}"))
        }
        _ => None,
    }
}

/// gdb's `thread apply all bt …`.
pub(super) fn apply_all(words: &[&str]) -> Option<String> {
    let mut words = words;
    // -ascending, -q, -c, -s change how gdb prints and what it does after an error.
    while let [flag, rest @ ..] = words
        && flag.starts_with('-')
    {
        words = rest;
    }
    match words {
        ["bt" | "backtrace" | "where" | "w"] => Some("stack -all".to_owned()),
        ["bt" | "backtrace" | "where" | "w", rest @ ..] => {
            // Nothing in this line is ours: its -full is gdb's, another spelling of full.
            let rest: Vec<&str> = rest.iter().map(|word| if *word == "-full" { "full" } else { word }).collect();
            Some(format!("stack -all{}", backtrace(&rest)?.strip_prefix("stack")?))
        }
        _ => None,
    }
}

/// gdb's `x/FMT ADDR`.
pub(super) fn examine(words: &[&str]) -> Option<String> {
    let (format, address) = match words {
        [format, address] => (format.strip_prefix('/')?, *address),
        [address] if !address.starts_with('/') => ("", *address),
        _ => return None,
    };
    let digits = format.chars().take_while(char::is_ascii_digit).count();
    let (count, letters) = format.split_at_checked(digits)?;
    let count: u64 = if count.is_empty() { 1 } else { count.parse().ok()? };
    let mut size = 4;
    for letter in letters.chars() {
        size = match letter {
            'b' | 'c' => 1,
            'h' => 2,
            'w' => 4,
            'g' | 'a' => 8,
            'x' | 'd' | 'u' | 'o' | 't' | 'z' => size,
            // Instructions and text have no length that is known before they are read.
            _ => return None,
        };
    }
    bytes(address, count.checked_mul(size)?)
}

fn bytes(address: &str, count: u64) -> Option<String> {
    (1..=MOST).contains(&count).then(|| format!("readmemory {} -n {count}", address.trim_start_matches('&')))
}

/// lldb's `memory read`.
pub(super) fn memory_read(words: &[&str]) -> Option<String> {
    let (mut address, mut count, mut size) = (None, None, 1u64);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match *word {
            "-c" | "--count" => count = Some(rest.next()?.parse::<u64>().ok()?),
            "-s" | "--size" => size = rest.next()?.parse().ok()?,
            option if option.starts_with('-') => return None,
            value if address.is_none() => address = Some(value),
            _ => return None,
        }
    }
    match count {
        Some(count) => bytes(address?, count.checked_mul(size)?),
        None => address.map(|address| format!("readmemory {address}")),
    }
}

/// WinDbg's `dq ADDR [L COUNT]`, of units of this many bytes; the count is hexadecimal.
fn dump(words: &[&str], unit: u64) -> Option<String> {
    let (address, count) = match words {
        [address] => (address, None),
        [address, count] => (address, Some(count.strip_prefix(['L', 'l'])?)),
        [address, "L" | "l", count] => (address, Some(*count)),
        _ => return None,
    };
    match count {
        None => Some(format!("readmemory {address}")),
        Some(count) => bytes(address, u64::from_str_radix(count.trim_start_matches("0x"), 16).ok()?.checked_mul(unit)?),
    }
}

pub(super) fn dump_1(words: &[&str]) -> Option<String> {
    dump(words, 1)
}

pub(super) fn dump_2(words: &[&str]) -> Option<String> {
    dump(words, 2)
}

pub(super) fn dump_4(words: &[&str]) -> Option<String> {
    dump(words, 4)
}

pub(super) fn dump_8(words: &[&str]) -> Option<String> {
    dump(words, 8)
}

/// SOS's `threads N`, which selects one.
pub(super) fn select(words: &[&str]) -> Option<String> {
    match words {
        [index] if is_number(index) => Some(format!("setthread {index}")),
        _ => None,
    }
}

/// gdb's and lldb's `thread N`, which count from 1; options are those of `setthread`.
pub(super) fn thread(words: &[&str]) -> Option<String> {
    match words {
        [] => Some("setthread".to_owned()),
        [number] if is_number(number) => {
            let index = number.parse::<u64>().ok()?.checked_sub(1)?;
            Some(format!("setthread {index}"))
        }
        [option, ..] if option.starts_with('-') => Some(format!("setthread {}", words.join(" "))),
        _ => None,
    }
}

/// WinDbg's `.exr`: -1 is the last exception, which stands first here.
pub(super) fn exception(words: &[&str]) -> Option<String> {
    match words {
        [] => Some("printexception".to_owned()),
        ["-1"] => Some("printexception -n 0".to_owned()),
        [address] => Some(format!("printexception {address}")),
        _ => None,
    }
}

/// One operand, which is passed on.
pub(super) fn module(words: &[&str]) -> Option<String> {
    match words {
        [] => Some("modules".to_owned()),
        ["-a", address] | ["--address", address] | [address] => Some(format!("modules {address}")),
        _ => None,
    }
}

/// WinDbg's `~`: threads, and what is done with them.
pub(super) fn tilde(threads: &str, rest: &str) -> String {
    let which = threads.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '*' | '.' | '#')).count();
    let (which, verb) = threads.split_at_checked(which).unwrap_or((threads, ""));
    let line = format!("{verb} {rest}");
    let verb = line.trim();
    match (which, verb) {
        ("" | "*", "") => "threads".to_owned(),
        ("*", "k" | "kb" | "kn" | "kv" | "kp" | "kc") => "stack -all".to_owned(),
        ("*", verb)
            if verb.starts_with("e ") && matches!(verb.get(2..).map(str::trim), Some("k" | "!clrstack" | "kb")) =>
        {
            "stack -all".to_owned()
        }
        (index, "s") if is_number(index) => format!("setthread {index}"),
        _ => format!("~ {which} {verb}"),
    }
}

/// gdb's `info stack`.
pub(super) fn stack(words: &[&str]) -> Option<String> {
    if words.is_empty() { Some("stack".to_owned()) } else { backtrace(words) }
}

/// `stack full`, `stack all`: gdb's and lldb's words behind our name. A number is not taken: it could be a thread.
pub(super) fn stack_of(words: &[&str]) -> Option<String> {
    let has_number = words.iter().any(|word| is_number(word));
    if has_number { None } else { backtrace(words) }
}

/// lldb's `thread backtrace`.
pub(super) fn thread_backtrace(words: &[&str]) -> Option<String> {
    match words {
        ["-c" | "--count", count] if is_number(count) => Some(format!("stack -n {count}")),
        ["all"] => Some("stack -all".to_owned()),
        [] => Some("stack".to_owned()),
        _ => None,
    }
}

/// A frame by its number.
pub(super) fn frame(words: &[&str]) -> Option<String> {
    match words {
        [] => Some("frame".to_owned()),
        [index] if is_number(index) => Some(format!("frame {index}")),
        _ => None,
    }
}

/// All variables of the selected frame; not one of them.
pub(super) fn frame_variables(words: &[&str]) -> Option<String> {
    words.is_empty().then(|| "stack -a -frame".to_owned())
}

/// All registers; not one of them.
pub(super) fn all_registers(words: &[&str]) -> Option<String> {
    matches!(words, [] | ["-a" | "--all"]).then(|| "registers".to_owned())
}

/// The module of an address.
pub(super) fn module_of(words: &[&str]) -> Option<String> {
    if words.is_empty() { None } else { module(words) }
}

/// WinDbg's `!analyze`, which has nothing to choose from here.
pub(super) fn analyze(words: &[&str]) -> Option<String> {
    words.iter().all(|word| matches!(*word, "-v" | "-f" | "-hang")).then(|| "summary".to_owned())
}
