//! A process by its name: exactly one, or the reason why not.

use super::command_line::{answers_to, leaf};
use super::{Process, list};
use crate::error::Error;
use crate::job::Job;
use crate::model::Partial;
use crate::report::sanitize::sanitize;

/// Most candidates that an error lists.
const MAX_LISTED: usize = 20;

/// The one process that goes by `name`: the kernel's name of it, its executable's file name, or, for .NET, JVM, Node
/// and Python, the entry assembly, class, jar, module or script. Fails where there is none, and where there are
/// several, which are then listed.
pub fn find(name: &str, job: &Job) -> Result<Process, Error> {
    let Partial { value, .. } = list(job)?;
    choose(name, value)
}

fn choose(name: &str, processes: Vec<Process>) -> Result<Process, Error> {
    let own = std::process::id();
    let mut found: Vec<Process> = processes
        .into_iter()
        .filter(|process| process.pid != own && !process.runtimes.is_empty() && answers_to(process, name))
        .collect();
    if found.len() > 1 {
        return Err(Error::Failed(several(name, &found)));
    }
    found.pop().ok_or_else(|| {
        Error::Failed(format!("no process is called '{}'; 'dumpscope ps --all' lists those there are", sanitize(name)))
    })
}

fn several(name: &str, found: &[Process]) -> String {
    let mut text = format!("{} processes are called '{}', name one with -p PID:", found.len(), sanitize(name));
    for (at, process) in found.iter().take(MAX_LISTED).enumerate() {
        let joint = if at == 0 { " " } else { "; " };
        let line = match &process.command_line {
            Some(arguments) if !arguments.is_empty() => arguments.join(" "),
            _ => process.name.clone(),
        };
        let kind = process.runtimes.first().map_or("?", |runtime| runtime.kind.words());
        let program = process.executable.as_deref().map_or(process.name.as_str(), leaf);
        text.push_str(&format!(
            "{joint}{} {} ({kind}) {}",
            process.pid,
            sanitize(program),
            sanitize(&shortened(&line))
        ));
    }
    if let Some(more) = found.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

/// A command line's first 100 characters.
fn shortened(line: &str) -> String {
    let mut text: String = line.chars().take(100).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RuntimeKind;
    use crate::processes::Runtime;

    fn process(pid: u32, name: &str, executable: &str, entry: Option<&str>) -> Process {
        let runtime = Runtime { kind: RuntimeKind::Native, version: None, evidence: String::new() };
        Process {
            pid,
            parent: None,
            name: name.to_owned(),
            runtimes: vec![runtime],
            entry: entry.map(str::to_owned),
            executable: Some(executable.to_owned()),
            command_line: Some(vec![executable.to_owned(), "x\x1b[31m".to_owned()]),
            threads: None,
            rss_bytes: None,
            age_seconds: None,
            start_ticks: 0,
            uid: None,
            user: None,
            container: None,
            namespace_pid: None,
            dumpable: true,
            refusals: Vec::new(),
        }
    }

    fn some() -> Vec<Process> {
        vec![
            process(5, ".NET Server", "/usr/bin/dotnet", Some("/app/Shop.Api.dll")),
            process(6, "java", "/usr/bin/java", Some("shop.orders.Main")),
            process(7, "java", "/usr/bin/java", Some("/srv/stock.jar")),
            process(8, "node", "/usr/bin/node", Some("./server.js")),
            process(9, "postgres", "/usr/lib/postgresql/15/bin/postgres", None),
        ]
    }

    #[test]
    fn one_process_answers_to_each_of_its_names() {
        for (name, pid) in [
            (".NET Server", 5),
            ("dotnet", 5),
            ("Shop.Api.dll", 5),
            ("Shop.Api", 5),
            ("/app/Shop.Api.dll", 5),
            ("shop.orders.Main", 6),
            ("Main", 6),
            ("stock.jar", 7),
            ("stock", 7),
            ("server.js", 8),
            ("server", 8),
            ("postgres", 9),
        ] {
            assert_eq!(choose(name, some()).map(|process| process.pid).map_err(|e| e.to_string()), Ok(pid), "{name}");
        }
    }

    #[test]
    fn a_part_of_a_name_is_no_name() {
        for name in ["post", "Shop", "Api", "MAIN", ""] {
            assert!(choose(name, some()).is_err(), "{name}");
        }
    }

    #[test]
    fn several_are_listed_without_obeying_their_names() {
        let said = choose("java", some()).map(|process| process.pid).map_err(|error| error.to_string());
        let said = said.expect_err("two are called java");
        assert!(
            said.starts_with(
                "2 processes are called 'java', name one with -p PID: 6 java (native) /usr/bin/java x\\x1b[31m"
            ),
            "{said}"
        );
        assert!(said.contains("; 7 java"), "{said}");
    }
}
