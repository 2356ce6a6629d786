//! What the kernel tells of a process beside its memory, read before it is stopped: while it is stopped, every thread's
//! wait channel is that of the stop.
//!
//! Everything here is optional: what cannot be read is left out. Specification: proc(5).

use std::collections::{BTreeMap, HashMap};
use std::fs;

use procfs::process::{Limit, LimitValue, Limits, Stat, Status, Syscall as Called};

use super::deleted::Deleted;
use super::file_facts::{self, FileTable};
use super::live::{Live, read};
use super::maps::{Mapping, Span, Usage};
use super::unwind_table::Stated;
use crate::capture::Access;
use crate::capture::facts::{Child, Descriptor, FileLock, MappingFacts, Syscall, ThreadFacts};

/// Most threads and open files that are told of.
const MAX_THREADS: usize = 100_000;
const MAX_DESCRIPTORS: usize = 20_000;
/// Most mappings that are told of one by one.
const MAX_MAPPINGS: usize = 100_000;
/// Most functions of the kernel that are told of one thread.
const MAX_KERNEL_FRAMES: usize = 32;
/// Longest text of one fact.
const MAX_TEXT: usize = 4096;

/// The facts that are read before the stop.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) threads: BTreeMap<i32, ThreadFacts>,
    /// User and system time of each thread, in clock ticks.
    pub(super) times: BTreeMap<i32, (u64, u64)>,
    pub(super) descriptors: Vec<Descriptor>,
    pub(super) limits: BTreeMap<String, [Option<u64>; 2]>,
    pub(super) cgroups: Vec<String>,
    pub(super) usages: Vec<(Span, Usage)>,
    pub(super) age_ms: Option<u64>,
    /// The files of its modules.
    pub(super) files: FileTable,
    /// Its root directory, where that is not ours.
    pub(super) root: Option<String>,
    /// Where its unwind table is, if only its file tells.
    pub(super) unwind_table: Option<Stated>,
    /// Files of its code that are at no path.
    pub(super) deleted: Vec<Deleted>,
    /// Its children, where a thread waits for one.
    pub(super) children: Vec<Child>,
    /// The file locks that its threads wait for.
    pub(super) file_locks: Vec<FileLock>,
}

/// Reads them. Without `personal`: no files, no cgroups, nothing of other processes. `running`: whether the threads
/// have not been stopped by us, so that their states are their own.
pub(super) fn gather(live: &Live, personal: bool, running: bool) -> Gathered {
    let mut gathered = Gathered { usages: super::maps::usages(live), ..Gathered::default() };
    if personal {
        gathered.root = live.root().and_then(|root| String::from_utf8(root).ok());
        gathered.descriptors = descriptors(live);
        let cgroups = fs::read(live.proc("cgroup")).unwrap_or_default();
        gathered.cgroups = text(&cgroups).lines().take(64).map(str::to_owned).collect();
    }
    gathered.limits = read::<Limits>(live.pid, "limits").map(|limits| named_limits(&limits)).unwrap_or_default();
    gathered.age_ms = read::<Stat>(live.pid, "stat").ok().and_then(|stat| age_ms(stat.starttime));
    gathered.unwind_table = Stated::of(live);
    gathered.files = file_facts::read(live);
    gathered.deleted = Deleted::of(live, personal);
    for tid in live.threads().unwrap_or_default().into_iter().take(MAX_THREADS) {
        gathered.add_thread(live, tid, running);
    }
    if personal && running {
        gathered.look_beyond(live);
    }
    gathered
}

impl Gathered {
    /// Adds what is known of a thread. `running`: whether it has not been stopped yet.
    pub(super) fn add_thread(&mut self, live: &Live, tid: i32, running: bool) {
        if self.threads.contains_key(&tid) {
            return;
        }
        let Ok(stat) = read::<Stat>(live.pid, &format!("task/{tid}/stat")) else { return };
        let file = |name: &str| fs::read(live.proc(&format!("task/{tid}/{name}"))).unwrap_or_default();
        let status: Option<Status> = read(live.pid, &format!("task/{tid}/status")).ok();
        let inner = status.and_then(|status| status.nspid?.last().copied());
        let channel = text(&file("wchan"));
        let called_now: Option<Called> = read(live.pid, &format!("task/{tid}/syscall")).ok();
        let milliseconds = |ticks: u64| ticks.saturating_mul(1000) / procfs::ticks_per_second().max(1);
        let facts = ThreadFacts {
            tid: u32::try_from(tid).unwrap_or(0),
            inner_tid: inner.and_then(|tid| u32::try_from(tid).ok()),
            name: text(file("comm").trim_ascii_end()),
            state: running.then_some(stat.state),
            wait_channel: Some(channel).filter(|channel| running && !channel.is_empty() && channel != "0"),
            syscall: called_now.filter(|_| running).and_then(called),
            user_ms: milliseconds(stat.utime),
            system_ms: milliseconds(stat.stime),
            lost: None,
            kernel_stack: Vec::new(),
        };
        self.times.insert(tid, (stat.utime, stat.stime));
        self.threads.insert(tid, facts);
    }

    /// Adds a thread that did not stop: what the kernel tells of it now is of its own sleep.
    pub(super) fn add_lost(&mut self, live: &Live, tid: i32, why: &str) {
        self.threads.remove(&tid);
        self.add_thread(live, tid, true);
        if let Some(facts) = self.threads.get_mut(&tid) {
            facts.lost = Some(why.to_owned());
            let stack = fs::read(live.proc(&format!("task/{tid}/stack"))).unwrap_or_default();
            facts.kernel_stack = text(&stack).lines().take(MAX_KERNEL_FRAMES).filter_map(kernel_function).collect();
        }
    }
}

/// `[<0>] wait_for_vfork_done+0x3d/0x90` without address and offset. Source: proc(5), /proc/pid/stack.
fn kernel_function(line: &str) -> Option<String> {
    let name = line.split_ascii_whitespace().nth(1)?;
    Some(name.split('+').next()?.to_owned())
}

/// What a thread sleeps in, where it sleeps in a system call.
pub(super) fn called(called: Called) -> Option<Syscall> {
    match called {
        Called::Blocked { syscall_number, argument_registers, stack_pointer, program_counter }
            if syscall_number >= 0 =>
        {
            let args = argument_registers.to_vec();
            Some(Syscall { number: syscall_number, args, sp: stack_pointer, pc: program_counter })
        }
        _ => None,
    }
}

/// Milliseconds since the process started.
fn age_ms(start_ticks: u64) -> Option<u64> {
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, _) = uptime.split_once('.')?;
    let uptime_ms = seconds.parse::<u64>().ok()?.checked_mul(1000)?;
    let started_ms = start_ticks.checked_mul(1000)?.checked_div(procfs::ticks_per_second())?;
    Some(uptime_ms.saturating_sub(started_ms))
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..bytes.len().min(MAX_TEXT)).unwrap_or_default()).into_owned()
}

/// Open files by number, sockets with what they are connected to.
fn descriptors(live: &Live) -> Vec<Descriptor> {
    let Ok(entries) = fs::read_dir(live.proc("fd")) else { return Vec::new() };
    let mut found: Vec<Descriptor> = entries
        .flatten()
        .take(MAX_DESCRIPTORS)
        .filter_map(|entry| {
            let fd = entry.file_name().to_str()?.parse().ok()?;
            let target = text(fs::read_link(entry.path()).ok()?.as_os_str().as_encoded_bytes());
            let access = file_facts::access(&entry.path());
            Some(Descriptor { fd, target, socket: None, access, others: Vec::new() })
        })
        .collect();
    found.sort_by_key(|descriptor| descriptor.fd);
    let inode = |target: &str| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok();
    if found.iter().any(|descriptor| inode(&descriptor.target).is_some()) {
        let sockets = sockets(live);
        for descriptor in &mut found {
            descriptor.socket = inode(&descriptor.target).and_then(|inode| sockets.get(&inode).cloned());
        }
    }
    found
}

/// What each socket of the process's network is, by inode.
fn sockets(live: &Live) -> HashMap<u64, String> {
    let mut sockets = HashMap::new();
    for (file, name) in [("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp")] {
        let table = fs::read(live.proc(&format!("net/{file}"))).unwrap_or_default();
        for line in text_lines(&table).skip(1) {
            if let Some((inode, words)) = socket(&line, name) {
                sockets.insert(inode, words);
            }
        }
    }
    let table = fs::read(live.proc("net/unix")).unwrap_or_default();
    for line in text_lines(&table).skip(1) {
        // Num RefCount Protocol Flags Type St Inode Path. Source: proc_pid_net(5).
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if let Some(inode) = fields.get(6).and_then(|inode| inode.parse().ok()) {
            let path = fields.get(7).map_or_else(String::new, |path| format!(" {path}"));
            sockets.insert(inode, format!("unix{path}"));
        }
    }
    sockets
}

fn text_lines(bytes: &[u8]) -> impl Iterator<Item = String> {
    bytes.split(|byte| *byte == b'\n').map(text)
}

/// A line of /proc/net/tcp: `sl local_address rem_address st …`, the inode in the tenth column. Source: Linux
/// Documentation/networking/proc_net_tcp.rst.
fn socket(line: &str, name: &str) -> Option<(u64, String)> {
    const STATES: [&str; 12] = [
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
        "NEW_SYN_RECV",
    ];
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let inode = fields.get(9)?.parse().ok().filter(|inode| *inode != 0)?;
    let (local, remote) = (endpoint(fields.get(1)?)?, endpoint(fields.get(2)?)?);
    let state = usize::from_str_radix(fields.get(3)?, 16).ok()?;
    let state = state.checked_sub(1).and_then(|index| STATES.get(index)).filter(|_| name == "tcp");
    let remote = if remote.ends_with(":0") { String::new() } else { format!(" -> {remote}") };
    let state = state.map_or_else(String::new, |state| format!(" {state}"));
    Some((inode, format!("{name} {local}{remote}{state}")))
}

/// `0100007F:1F90`: an address as words of the machine, a port.
fn endpoint(text: &str) -> Option<String> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let bytes: Vec<u8> = address
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<Vec<_>>>()?
        .concat();
    let address: std::net::IpAddr = match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok()?.into(),
        16 => std::net::IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
        _ => return None,
    };
    Some(std::net::SocketAddr::new(address, port).to_string())
}

fn named_limits(limits: &Limits) -> BTreeMap<String, [Option<u64>; 2]> {
    let value = |value: LimitValue| match value {
        LimitValue::Unlimited => None,
        LimitValue::Value(value) => Some(value),
    };
    let both = |limit: Limit| [value(limit.soft_limit), value(limit.hard_limit)];
    let named = [
        ("cpu", limits.max_cpu_time),
        ("fsize", limits.max_file_size),
        ("data", limits.max_data_size),
        ("stack", limits.max_stack_size),
        ("core", limits.max_core_file_size),
        ("rss", limits.max_resident_set),
        ("nproc", limits.max_processes),
        ("nofile", limits.max_open_files),
        ("memlock", limits.max_locked_memory),
        ("as", limits.max_address_space),
        ("locks", limits.max_file_locks),
        ("sigpending", limits.max_pending_signals),
        ("msgqueue", limits.max_msgqueue_size),
    ];
    named.into_iter().map(|(name, limit)| (name.to_owned(), both(limit))).collect()
}

/// The mappings with what is in memory of each.
pub(super) fn mapping_facts(
    mappings: &[Mapping],
    files: &FileTable,
    shown: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<MappingFacts> {
    let of = |mapping: &Mapping| MappingFacts {
        start: mapping.span.start.0,
        end: mapping.span.end.0,
        access: access_words(mapping.access, mapping.shared),
        path: text(&shown(&mapping.path)),
        resident: mapping.usage.and_then(|usage| usage.resident),
        anonymous: mapping.usage.and_then(|usage| usage.anonymous),
        swapped: mapping.usage.and_then(|usage| usage.swapped),
        file: (mapping.offset == 0).then(|| files.get(&(mapping.inode, mapping.path.clone())).copied()).flatten(),
    };
    mappings.iter().take(MAX_MAPPINGS).map(of).collect()
}

fn access_words(access: Access, shared: bool) -> String {
    let letter = |set: bool, letter: char| if set { letter } else { '-' };
    [letter(access.read, 'r'), letter(access.write, 'w'), letter(access.execute, 'x'), if shared { 's' } else { 'p' }]
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_told_with_their_ends() {
        let line = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1";
        assert_eq!(socket(line, "tcp"), Some((4711, "tcp 127.0.0.1:8080 LISTEN".to_owned())));
        let line = "   2: 0100007F:1F90 0200007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 4712 1";
        assert_eq!(socket(line, "tcp"), Some((4712, "tcp 127.0.0.1:8080 -> 127.0.0.2:80 ESTABLISHED".to_owned())));
        for len in 0..line.len() {
            let _ = socket(&line[..len], "tcp");
        }
    }

    #[test]
    fn functions_of_the_kernel_are_told_without_their_offsets() {
        assert_eq!(kernel_function("[<0>] kernel_clone+0x2a4/0x3f0").as_deref(), Some("kernel_clone"));
        assert_eq!(kernel_function(""), None);
    }

    #[test]
    fn an_ipv4_address_of_an_ipv6_socket_is_shown_as_such() {
        assert_eq!(endpoint("0000000000000000FFFF00000100007F:0050").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(endpoint("00000000000000000000000001000000:0050").as_deref(), Some("[::1]:80"));
        assert_eq!(endpoint("0100007F"), None);
    }
}
