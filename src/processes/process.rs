//! A process as `ps` shows it: plain data.

use schemars::JsonSchema;
use serde::Serialize;

use super::refusal::Refusal;
use crate::model::RuntimeKind;

/// A process of this machine. A fact that cannot be read is `null`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Process {
    /// Its id in the PID namespace of the reader.
    pub pid: u32,
    /// Its parent's id; 0 where the parent is outside the namespace.
    pub parent: Option<u32>,
    /// The kernel's name for it, at most 15 bytes; bytes that are no UTF-8 stand as `\xNN`.
    pub name: String,
    /// The runtimes recognised in it, the one that runs its code first; `native` alone where none was found, `unknown`
    /// where its files cannot be read.
    pub runtimes: Vec<Runtime>,
    /// What the runtime runs: the entry assembly, class, jar, module or script; `null` where the executable is all
    /// there is.
    pub entry: Option<String>,
    /// Its executable, as seen from its own root.
    pub executable: Option<String>,
    /// Its arguments, raw; empty for a kernel thread.
    pub command_line: Option<Vec<String>>,
    /// Number of threads.
    pub threads: Option<u64>,
    /// Resident memory, bytes; `null` where it has none of its own.
    pub rss_bytes: Option<u64>,
    /// Seconds since it was started.
    pub age_seconds: Option<u64>,
    /// Start time in clock ticks since boot: with `pid` it names the process for ever.
    pub start_ticks: u64,
    /// Effective user id.
    pub uid: Option<u32>,
    /// That user's name in this machine's `/etc/passwd`.
    pub user: Option<String>,
    /// The container that its control groups name; `null` where they name none.
    pub container: Option<Container>,
    /// Its id inside its own PID namespace, where that is another than the reader's.
    pub namespace_pid: Option<u32>,
    /// Whether the kernel lets the reader dump it.
    pub dumpable: bool,
    /// Why it may not be dumped; empty where it may.
    pub refusals: Vec<Refusal>,
}

/// A runtime recognised in a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Runtime {
    /// Which.
    pub kind: RuntimeKind,
    /// Its version; `null` where it could not be found.
    pub version: Option<String>,
    /// What it was recognised by.
    pub evidence: String,
}

/// A container, as its control groups name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Container {
    /// The program that runs it.
    pub engine: Engine,
    /// Its id, usually 64 hexadecimal digits.
    pub id: String,
    /// The Kubernetes pod's uid, `8-4-4-4-12` hexadecimal digits.
    pub pod_uid: Option<String>,
}

/// Programs that run containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Docker, or Kubernetes with Docker.
    Docker,
    /// containerd.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// A Kubernetes pod whose control groups do not name the engine.
    Unknown,
}

impl Engine {
    /// As people write it.
    pub fn words(self) -> &'static str {
        match self {
            Engine::Docker => "docker",
            Engine::Containerd => "containerd",
            Engine::CriO => "cri-o",
            Engine::Podman => "podman",
            Engine::Unknown => "pod",
        }
    }
}
