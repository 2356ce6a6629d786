//! Asynchronous work of .NET, in dumps of `fixtures/dotnet-async`, whose source dictates it; without any file of the process.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Dotnet, Started, run};

/// A dump with the heap, as createdump writes it, of each build of the fixture on each runtime.
fn each_dump(builds: &[&str], test: impl Fn(&Path, &Started)) {
    let dotnet = Dotnet::find();
    for (version, runtime) in &dotnet.runtimes {
        for build in builds {
            println!(".NET {version}, {build}");
            let process = dotnet.start(version, "dotnet-async", build);
            let folder = tempfile::tempdir().expect("a temporary folder");
            let dump: PathBuf = folder.path().join("core");
            let mut command = Command::new(runtime.join("createdump"));
            command.args(["--withheap", "-f"]).arg(&dump).arg(process.pid().to_string());
            run(command).expect_status(0);
            test(&dump, &process);
        }
    }
}

/// What commands answer of a dump on a machine that has no file of its process.
fn answers(dump: &Path, commands: &[&str]) -> Vec<Value> {
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline", "--sysroot"]).arg(nowhere.path());
    command.args(commands.iter().flat_map(|line| ["-c", line]));
    let mut documents = run(command).expect_status(0).documents();
    documents.iter_mut().map(|document| document["data"].take()).collect()
}

/// The same where the assemblies and their PDBs are.
fn answers_with_files(dump: &Path, commands: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline"]);
    command.args(commands.iter().flat_map(|line| ["-c", line]));
    let mut documents = run(command).expect_status(0).documents();
    documents.iter_mut().map(|document| document["data"].take()).collect()
}

/// `semaphore Shop.Program.Door: Enter 0` for each stack, innermost method first; of the runtime's own methods and tasks the type's last name.
fn told(answer: &Value, name_of: impl Fn(u64) -> String) -> Vec<String> {
    let frame = |frame: &Value| {
        let name = frame["method"].as_str().or(frame["type"].as_str()).expect("a name");
        let name = name.split('<').next().filter(|plain| !plain.ends_with('.')).unwrap_or(name);
        let name = name.strip_prefix("Shop.Program").unwrap_or(name).trim_start_matches(['.', '+']);
        frame["state"].as_i64().map_or(name.to_owned(), |state| format!("{name} {state}"))
    };
    let stack = |stack: &Value| {
        let awaits = &stack["awaits"];
        let frames: Vec<String> = stack["frames"].as_array().expect("frames").iter().map(frame).collect();
        let threads = stack["threads"].as_array().expect("threads").iter();
        let threads: Vec<String> = threads.map(|tid| name_of(tid.as_u64().expect("an id"))).collect();
        let name = awaits["name"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
        let blocked = if threads.is_empty() { String::new() } else { format!(" blocks {}", threads.join(" ")) };
        format!("{}{name}: {}{blocked}", awaits["kind"].as_str().expect("a kind"), frames.join(" < "))
    };
    let mut all: Vec<String> = answer["stacks"].as_array().expect("stacks").iter().map(stack).collect();
    all.sort();
    all
}

/// Threads by what the program called them, those of the pool by that word.
fn names(threads: &Value) -> impl Fn(u64) -> String {
    let threads = threads["threads"].as_array().expect("threads").clone();
    move |tid| {
        let thread = threads.iter().find(|thread| thread["tid"] == tid).expect("it is managed");
        let name = thread["name"].as_str().filter(|name| !name.starts_with(".NET TP"));
        name.or(thread["role"].as_str()).expect("a name").to_owned()
    }
}

const GATE: &str = "completion-source Shop.Program.Gate: ";
const OUTER: &str = "Inner 0 < Middle 1 < Outer 0";

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn every_pending_method_is_told_with_what_it_waits_for_and_who_awaits_it() {
    each_dump(&["Async", "AsyncDebug"], |dump, _| {
        let answers = answers(dump, &["dumpasync", "clrthreads", "dumpasync --stats"]);
        let all = told(&answers[0], names(&answers[1]));
        let count = |wanted: &str| all.iter().filter(|stack| *stack == wanted).count();
        // What the source says: fixtures/dotnet-async/Async.cs.
        let of_gate = [
            (OUTER, 5),
            ("Inner 0 < Middle 1 < Outer 0 blocks clerk", 1),
            ("Inner 0 < Middle 1 < Outer 0 blocks cashier", 1),
            ("Pooled 0 < OfPool 0", 1),
            ("Pooled 0 < System.Threading.Tasks.ValueTask < AsTask 0", 1),
            ("System.Threading.Tasks.Task+CancellationPromise < Impatient 0", 1),
            ("System.Threading.Tasks.ContinuationTaskFromResultTask < Continued 0", 1),
            ("Forget 0", 1),
            ("ShowGate 0 blocks till", 1),
        ];
        for (stack, wanted) in of_gate {
            assert_eq!(count(&format!("{GATE}{stack}")), wanted, "{stack}: {all:#?}");
        }
        let hour = "delay 3600000 ms: Hour 0";
        let door = "semaphore Shop.Program.Door: Enter 0";
        let both =
            |inner: &str, by: &str, outer: &str| format!("{inner} < System.Threading.Tasks.Task+{by} < {outer} 0");
        for (stack, wanted) in [
            ("delay for ever: Numbers 0 < Iterate 0", 1),
            (door, 1),
            (hour, 1),
            ("delay 3600000 ms: Hour 0 blocks cashier", 1),
            ("source Shop.Program.Front: Ring 0", 1),
            (&both(hour, "WhenAllPromise", "Everything"), 1),
            (&both(door, "WhenAllPromise", "Everything"), 1),
            (&both(hour, "TwoTaskWhenAnyPromise", "Anything"), 1),
            (&both(door, "TwoTaskWhenAnyPromise", "Anything"), 1),
            ("timer System.Threading.PeriodicTimer+State: Tick 0", 1),
            ("continuation System.Threading.Tasks.Task+DelayPromise: Show 0 blocks desk", 1),
            ("continuation System.Threading.Tasks.Task+DelayPromise: Show 0 blocks porter", 1),
            (
                "continuation System.Threading.Tasks.Task+DelayPromise: Show 0 < System.Threading.Tasks.Task+TwoTaskWhenAnyPromise blocks guest",
                1,
            ),
        ] {
            assert_eq!(count(stack), wanted, "{stack}: {all:#?}");
        }
        let ends =
            |kind: &str, end: &str| all.iter().filter(|stack| stack.starts_with(kind) && stack.ends_with(end)).count();
        assert_eq!(ends("channel ", ": Read 0"), 1, "{all:#?}");
        assert_eq!(ends("channel ", ": Write 0"), 1, "{all:#?}");
        assert_eq!(ends("socket ", ": Listen 0"), 1, "{all:#?}");
        assert_eq!(ends("", "System.Net.Http.HttpClient.GetStringAsyncCore 0 < Ask 0"), 1, "{all:#?}");
        assert_eq!(ends(GATE, "System.Threading.Tasks.UnwrapPromise < Unwrapped 0"), 1, "{all:#?}");
        // One method of a pool's thread each, which nobody runs.
        let prices = ends("yield: ", "Price 0 blocks pool-worker");
        assert!(prices > 0 && prices == all.iter().filter(|stack| stack.contains("Price")).count(), "{all:#?}");
        let methods = answers[2]["methods"].as_array().expect("methods");
        let of = |method: &str| methods.iter().find(|row| row["method"] == method).map(|row| row["count"].clone());
        assert_eq!(of("Shop.Program.Outer"), Some(7.into()));
        assert_eq!(of("Shop.Program.Pooled"), Some(2.into()));
        assert_eq!(of("Shop.Program.Fail"), None);
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn stacks_are_chosen_by_object_type_and_status_and_alike_ones_are_one() {
    each_dump(&["Async"], |dump, _| {
        let first = answers(
            dump,
            &["dumpasync", "dumpasync --coalesce", "dumpasync --type Impatient", "dumpasync -c", "dumpasync -t"],
        );
        let stacks = |answer: &Value| answer["stacks"].as_array().expect("stacks").clone();
        let sum: u64 = stacks(&first[1]).iter().map(|stack| stack["count"].as_u64().expect("a number")).sum();
        assert_eq!(sum, stacks(&first[0]).len() as u64);
        assert!(
            stacks(&first[1])
                .iter()
                .any(|stack| stack["count"] == 7 && stack["frames"].as_array().map(Vec::len) == Some(3))
        );
        let chosen = stacks(&first[2]);
        assert_eq!(chosen.len(), 1, "{chosen:?}");
        let frame = &chosen[0]["frames"][1];
        let (object, table) = (frame["address"].as_str().expect("an address"), "Shop.Program+<Impatient>d__");
        assert!(frame["type"].as_str().is_some_and(|name| name.starts_with(table)), "{frame}");
        let by_object = answers(dump, &[&format!("dumpasync -addr {object}")]).remove(0);
        assert_eq!(by_object["stacks"], first[2]["stacks"]);
        // What has ended is told where it is asked for: three methods that failed among it.
        let failed = stacks(&first[3]);
        let failed = failed.iter().filter(|stack| stack["frames"][0]["method"] == "Shop.Program.Fail");
        let statuses: Vec<_> = failed.map(|stack| stack["frames"][0]["status"].clone()).collect();
        assert_eq!(statuses, ["Faulted", "Faulted", "Faulted"]);
        assert!(stacks(&first[4]).len() > stacks(&first[0]).len());
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn the_first_screen_tells_who_waits_for_itself_and_failures_that_nobody_saw() {
    each_dump(&["Async", "AsyncDebug"], |dump, _| {
        let summary = answers(dump, &["summary"]).remove(0);
        let findings = summary["findings"].as_array().expect("findings");
        let of = |rule: &str| findings.iter().filter(|finding| finding["rule"] == rule).collect::<Vec<_>>();
        // Before a thread sleeps it has spun a little.
        let text = |finding: &Value| finding["title"].as_str().expect("a title").replace("59 min 59 s", "1 h");
        // Desk and host wait for what is in their own queues alone; of the till's context that is not known, for nothing was posted yet; another thread
        // takes the porter's, a timer the steward's, a suspended method the butler's; the hasty one's wait ends, a token may end the patient one's, and what
        // the page waits for; the guest needs one of two, of which an hour's delay is the other.
        let own = of("own-queue");
        let told = |certain: bool| -> Vec<String> {
            let mut told: Vec<String> =
                own.iter().filter(|finding| finding["certain"] == certain).copied().map(text).collect();
            told.sort();
            told
        };
        let deadlock = |thread: &str, function: &str| {
            format!(
                "deadlock: {thread} waits for {function}, which goes on in this thread itself: its next piece of work is in the thread's own queue"
            )
        };
        let show = "Shop.Program.Show";
        assert_eq!(told(true), [deadlock("desk", show), deadlock("host", show)], "{own:#?}");
        let later = "till waits for Shop.Program.ShowGate, which is to go on in this thread itself once it has what it waits for: \
                     completion-source Shop.Program.Gate";
        let hasty = "hasty waits at most 1 h for Shop.Program.Show, which goes on in this thread itself, and so not before the wait is over";
        let uncertain = ["butler", "patient", "porter", "steward"].map(|thread| deadlock(thread, show));
        assert_eq!(told(false), [&uncertain[..], &[hasty.to_owned(), later.to_owned()]].concat(), "{own:#?}");
        let evidence = |thread: &str| {
            let told = own.iter().find(|finding| text(finding).contains(thread));
            told.expect("it was told")["evidence"].to_string()
        };
        for helped in ["butler", "steward"].map(evidence) {
            assert!(
                helped.contains("a suspended method, a timer or work of the thread pool holds the queue, too"),
                "{helped}"
            );
        }
        for certain in own.iter().filter(|finding| finding["certain"] == true) {
            assert_eq!(certain["severity"], "critical");
            let evidence = certain["evidence"].to_string();
            assert!(evidence.contains("it is in the queue 0x") && evidence.contains("Shop.Desk 0x"), "{evidence}");
        }
        let porter = own.iter().find(|finding| text(finding).contains("porter")).expect("it was told");
        assert_eq!(porter["severity"], "warning");
        assert!(porter["evidence"].to_string().contains("methods of other threads hold the queue, too"), "{porter}");
        let patient = own.iter().find(|finding| text(finding).contains("patient")).expect("it was told");
        assert_eq!(patient["severity"], "warning");
        assert!(patient["evidence"].to_string().contains("a CancellationToken may end its wait"), "{patient}");
        // All was read: nothing is held back for want of it.
        assert!(of("unread-work").is_empty(), "{findings:#?}");
        assert_eq!(of("starved-pool")[0]["certain"], true, "{findings:#?}");
        let pool: Vec<String> = of("starved-pool").into_iter().map(text).collect();
        assert!(pool[0].starts_with("deadlock: all ") && pool[0].contains("work that is in its own queue"), "{pool:?}");
        let failed = of("unseen-failure")[0];
        let title = "2 tasks failed, and nobody has looked, the first: System.InvalidOperationException: no p";
        assert!(text(failed).starts_with(title), "{failed}");
        let evidence = failed["evidence"].to_string();
        assert!(
            evidence.contains("no pears") && evidence.contains("no plums") && !evidence.contains("seen\""),
            "{evidence}"
        );
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn parallel_stacks_have_functions_that_await_one_another_beside_those_of_threads() {
    each_dump(&["Async"], |dump, _| {
        let told = answers(dump, &["parallelstacks", "dumpasync", "clrthreads"]);
        let roots = told[0]["async"].as_array().expect("functions");
        let root = |name: &str| -> &Value {
            let found = roots.iter().find(|node| node["function"] == name);
            found.unwrap_or_else(|| panic!("no {name}: {}", told[0]["async"]))
        };
        // Seven times the same, of which a clerk and a cashier block on one each.
        let outer = root("Shop.Program.Outer");
        assert_eq!(outer["count"], 7);
        let mut names: Vec<String> = outer["tids"]
            .as_array()
            .expect("threads")
            .iter()
            .map(|tid| names(&told[2])(tid.as_u64().expect("an id")))
            .collect();
        names.sort();
        assert_eq!(names, ["cashier", "clerk"]);
        let inner = &outer["children"][0]["children"][0];
        assert_eq!(
            (&outer["children"][0]["function"], &inner["function"]),
            (&"Shop.Program.Middle".into(), &"Shop.Program.Inner".into())
        );
        assert_eq!(
            (&inner["count"], &inner["children"][0]["awaits"]),
            (&7.into(), &"completion-source Shop.Program.Gate".into())
        );
        // It awaits both of two, which are two ways.
        assert_eq!(
            (
                &root("Shop.Program.Everything")["count"],
                root("Shop.Program.Everything")["children"].as_array().map(Vec::len)
            ),
            (&2.into(), Some(2))
        );
        // A method at the end of each way that 'dumpasync' lists.
        let ways: u64 = roots.iter().filter_map(|node| node["count"].as_u64()).sum();
        assert_eq!(Some(ways), told[1]["stacks"].as_array().map(|stacks| stacks.len() as u64));
        assert!(told[0]["roots"].as_array().is_some_and(|roots| !roots.is_empty()));
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn the_pool_its_queue_timers_and_states_of_tasks_are_told() {
    each_dump(&["Async"], |dump, _| {
        let told =
            answers(dump, &["threadpool", "threadpoolqueue", "timerinfo", "dumpasync -type ShowGate", "clrthreads"]);
        let (pool, queue) = (&told[0], &told[1]);
        // As many threads as there are processors, each of which runs one of so many callbacks and six more.
        let most = pool["most"].as_u64().expect("a number");
        assert_eq!((&pool["least"], &pool["working"]), (&pool["most"], &pool["most"]));
        let threads = told[4]["threads"].as_array().expect("threads").iter();
        let workers = threads.filter(|thread| thread["role"] == "pool-worker").count() as u64;
        // One that is about to end is none of the pool's any more.
        assert!((most..=workers).contains(&pool["threads"].as_u64().expect("a number")), "{pool}, {workers} workers");
        let items = queue["items"].as_array().expect("items");
        let count = |kind: &str, part: &str| {
            let is_one = |item: &&Value| {
                item["kind"] == kind && item["function"].as_str().is_some_and(|name| name.contains(part))
            };
            items.iter().filter(is_one).count() as u64
        };
        assert_eq!(count("work", "<Main>b__"), 6, "{queue}");
        assert_eq!(count("method", "Shop.Program.Price"), most, "{queue}");
        assert_eq!(pool["queued"], items.len());
        let timers = told[2]["timers"].as_array().expect("timers");
        let hourly = timers.iter().find(|timer| timer["period_ms"] == 3_600_000).expect("it is there");
        assert_eq!((&hourly["due_ms"], &hourly["state_type"]), (&3_600_000.into(), &"System.String".into()));
        assert!(hourly["function"].as_str().is_some_and(|name| name.contains("<Main>b__")), "{hourly}");
        // Hour five times, the timer of three hours, the wait of two, the client's of four.
        let due = |ms: u64| timers.iter().filter(|timer| timer["due_ms"] == ms).count();
        assert_eq!((due(3_600_000), due(10_800_000), due(7_200_000), due(14_400_000)), (6, 1, 1, 1), "{timers:?}");
        let task = told[3]["stacks"][0]["frames"][0]["address"].as_str().expect("an address");
        let state = answers(dump, &[&format!("taskstate {task}")]).remove(0);
        assert_eq!(state["status"], "WaitingForActivation");
    });
}

/// The line of the source that holds this text.
fn line_of(text: &str) -> u64 {
    let source =
        std::fs::read_to_string(support::repository().join("fixtures/dotnet-async/Async.cs")).expect("it is there");
    let before = source.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("no line has {text}"));
    before as u64 + 1
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn methods_are_told_with_the_line_of_their_await_and_with_their_locals() {
    each_dump(&["Async", "AsyncDebug"], |dump, _| {
        let told = answers_with_files(dump, &["dumpasync -f -type Middle"]).remove(0);
        let frames = told["stacks"][0]["frames"].as_array().expect("frames");
        let places: Vec<_> = frames.iter().map(|frame| frame["line"].as_u64()).collect();
        let lines = ["n + await Gate.Task", "int got = await Inner(n);", "int got = await Middle(doubled);"];
        assert_eq!(places, lines.map(|line| Some(line_of(line))), "{told}");
        assert!(
            frames.iter().all(|frame| frame["file"].as_str().is_some_and(|file| file.ends_with("Async.cs"))),
            "{told}"
        );
        // The first of the five orders: 0, doubled 0.
        let value = |frame: &Value, part: &str| {
            let fields = frame["fields"].as_array().expect("fields").iter();
            let field = fields.clone().find(|field| field["name"].as_str().is_some_and(|name| name.contains(part)));
            field.unwrap_or_else(|| panic!("no {part} in {frame}"))["value"].as_str().expect("words").to_owned()
        };
        assert!(value(&frames[1], "tag").contains("order 0"), "{}", frames[1]);
        assert_eq!(value(&frames[1], "1__state"), "1");
        assert_eq!(value(&frames[2], "doubled"), "0");
    });
}
