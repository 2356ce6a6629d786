//! What a new runtime costs: a folder that reads it, and one line of a table. Here both stand in a test: a toy runtime, in a process that
//! `fixtures/toy` makes, goes through command, JSON, text and pane, and closes a deadlock with a lock that no rule knows.

mod toy;

use std::sync::Arc;

use dumpscope::capture::FORMATS;
use dumpscope::commands::{self, Shell};
use dumpscope::error::Error;
use dumpscope::job::Job;
use dumpscope::model::Tid;
use dumpscope::report::text::Style;
use dumpscope::runtimes::{RUNTIMES, RuntimeKind, go, native};
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use dumpscope::tui::event::Failure;
use dumpscope::tui::look::{Background, Depth, Look};
use dumpscope::tui::stage::Stage;
use dumpscope::tui::worker;
use serde_json::{Value, json};
use support::{Dump, Truth, dump};

use crate::toy::Toy;

/// The product's runtimes, and one line more.
static WITH_TOY: &[RuntimeKind] = &[toy::KIND, go::KIND, native::KIND];

fn process() -> (Dump, Truth) {
    let dump = dump("toy", "alive");
    let truth = dump.truth();
    (dump, truth)
}

fn session(dump: &Dump, runtimes: &'static [RuntimeKind]) -> Arc<Session> {
    let (source, search) = (Source::File(dump.core()), Search::default());
    Arc::new(Session::open_with(FORMATS, runtimes, source, &search, &Job::default()).expect("it opens"))
}

fn printed(session: &Arc<Session>, line: &str, format: commands::Format) -> (bool, String) {
    let mut shell = Shell::new(Arc::clone(session));
    let result = shell.run(line, &Job::default());
    let mut out = Vec::new();
    shell.print(line, &result, format, &mut out, &Job::default()).expect("written");
    (result.is_ok(), String::from_utf8(out).expect("UTF-8"))
}

fn data(session: &Arc<Session>, line: &str) -> Value {
    let (answered, out) = printed(session, line, commands::Format::Json);
    assert!(answered, "{line}: {out}");
    serde_json::from_str::<Value>(&out).expect("one line of JSON")["data"].clone()
}

fn text(session: &Arc<Session>, line: &str) -> String {
    let (answered, out) = printed(session, line, commands::Format::Text(Style::default()));
    assert!(answered, "{line}: {out}");
    out
}

/// The functions of a thread's stack without those of the C library, how each frame was found, and the stack's end.
fn stack(session: &Arc<Session>, tid: u64) -> (Vec<(String, String)>, String) {
    let told = data(session, &format!("stack -t {tid}"));
    let thread = &told["threads"][0];
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let of_libc = |frame: &&Value| frame["module"].as_str().is_some_and(|module| module.starts_with("libc"));
    let frames = thread["frames"].as_array().expect("frames").iter().filter(|frame| !of_libc(frame));
    let frames = frames.map(|frame| (word(&frame["function"]), word(&frame["trust"])));
    (frames.collect(), word(&thread["end"]))
}

fn tid(truth: &Truth, thread: &str) -> u64 {
    truth.tid(thread)
}

#[test]
fn only_the_runtime_knows_who_called_its_methods_and_what_they_are_called() {
    let (dump, truth) = process();
    let names = |frames: Vec<(String, String)>| frames.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    for thread in ["tick", "tock"] {
        let (frames, end) = stack(&session(&dump, WITH_TOY), tid(&truth, thread));
        // `invoke` is what the runtime's rule led to; the method itself was found by the tables of what it calls.
        let invoke = frames.iter().find(|(name, _)| name == "invoke").map(|(_, trust)| trust.as_str());
        assert_eq!(invoke, Some("runtime"), "{frames:?}");
        let wanted: Vec<String> =
            dump.expected().threads().iter().find(|(name, _)| *name == thread).map_or_else(Vec::new, |(_, of)| {
                of["functions"]
                    .as_array()
                    .expect("functions")
                    .iter()
                    .map(|f| f.as_str().expect("a name").to_owned())
                    .collect()
            });
        assert_eq!((names(frames), end.as_str()), (wanted, "bottom"), "{thread}");
        // Without the line of the table the way ends where the method stands.
        let (frames, _) = stack(&session(&dump, RUNTIMES), tid(&truth, thread));
        let frames = names(frames);
        assert!(!frames.iter().any(|name| name == "invoke" || name.starts_with("toy.")), "{frames:?}");
    }
}

/// The names of a thread's frames of the program from one on, each with those of its variables.
fn variables(session: &Arc<Session>, tid: u64, from: &str) -> Vec<(String, Option<Vec<String>>)> {
    let told = data(session, &format!("stack -t {tid} -a"));
    let word = |value: &Value| value.as_str().expect("a name").to_owned();
    let named = |list: &Vec<Value>| {
        let mut names: Vec<String> = list.iter().map(|variable| word(&variable["name"])).collect();
        names.sort_unstable();
        names
    };
    let frames = told["threads"][0]["frames"].as_array().expect("frames").iter();
    let frames = frames.skip_while(|frame| frame["function"] != from).take(4);
    frames.map(|frame| (word(&frame["function"]), frame["variables"].as_array().map(named))).collect()
}

#[test]
fn variables_stand_in_their_own_frames_above_one_of_which_the_runtime_makes_two() {
    let (dump, truth) = process();
    let session = session(&dump, WITH_TOY);
    let tid = tid(&truth, "tick");
    // As fixtures/toy/main.c declares them; of the runtime's own names no debug information tells any.
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let expected = [
        ("toy.Till::open()", None),
        ("toy.Till::pay(Order)", None),
        ("invoke", names(&["argument", "frame", "index", "run", "stack"])),
        ("tick", names(&["argument"])),
    ];
    let expected = expected.map(|(function, variables)| (function.to_owned(), variables));
    assert_eq!(variables(&session, tid, "toy.Till::open()"), expected);
    // Their page says the same of each.
    let all = data(&session, &format!("stack -t {tid} -a"));
    for frame in all["threads"][0]["frames"].as_array().expect("frames") {
        let page = data(&session, &format!("showframe {} -t {tid}", frame["index"]));
        assert_eq!((&page["function"], &page["variables"]), (&frame["function"], &frame["variables"]));
        assert_eq!(page["registers"]["rip"], frame["pc"], "an expanded call has those of the frame that holds it");
        let registers = data(&session, &format!("registers -f {} -t {tid}", frame["index"]));
        assert_eq!(registers["registers"]["rip"], frame["pc"]);
    }
}

#[test]
fn variables_that_were_not_all_read_are_no_answer() {
    let (dump, truth) = process();
    let session = session(&dump, WITH_TOY);
    let process = session.process().expect("a process");
    let index = process.index_of(Tid(u32::try_from(tid(&truth, "tick")).expect("a tid"))).expect("it is there");
    let job = Job::default();
    let stack = process.stack(index, &job).expect("walked");
    let named = process.named(&stack);
    assert_eq!(process.variables(&stack, &named, &job).map(|all| all.len()).ok(), Some(named.len()));
    job.cancel();
    assert!(matches!(process.variables(&stack, &named, &job), Err(Error::Cancelled)));
}

#[test]
fn its_lock_closes_a_deadlock_of_which_native_code_has_the_other_half() {
    let (dump, truth) = process();
    let (tick, tock) = (tid(&truth, "tick"), tid(&truth, "tock"));
    let session = session(&dump, WITH_TOY);
    let told = data(&session, "locks");
    let by_name = |name: &str| {
        let locks = told["locks"].as_array().expect("locks");
        let found: Vec<&Value> = locks.iter().filter(|lock| lock["name"] == name).collect();
        assert_eq!(found.len(), 1, "{name}: {told}");
        found[0].clone()
    };
    let till = by_name("till");
    assert_eq!(
        (&till["kind"], &till["family"], &till["evidence"]),
        (&json!("toy-lock"), &json!("mutex"), &json!("owner-field"))
    );
    assert_eq!((&till["owner"]["tid"], &till["waiters"]), (&json!(tick), &json!([tock])));
    assert_eq!(support::as_address(&till["address"]), Some(truth.lock("till")));
    let books = by_name("g_books");
    assert_eq!(
        (&books["kind"], &books["owner"]["tid"], &books["waiters"]),
        (&json!("mutex"), &json!(tock), &json!([tick]))
    );
    assert_eq!(told["locks"].as_array().map(Vec::len), Some(2), "no bare futex beside them: {told}");
    let cycle = &told["deadlocks"][0];
    assert_eq!((&cycle["certain"], cycle["cycle"].as_array().map(Vec::len)), (&json!(true), Some(2)), "{told}");
    let verdict = &data(&session, "summary")["findings"][0];
    // gdb's cores hold no names of threads: each is called by its id and what it began with.
    let title = format!(
        "deadlock: {tick} tick waits for g_books (held by {tock} tock), {tock} tock waits for till (held by {tick} tick)"
    );
    assert_eq!((&verdict["rule"], &verdict["title"]), (&json!("deadlock"), &json!(title)));
    let shown = text(&session, "locks");
    assert!(shown.lines().any(|line| line.starts_with("till") && line.contains("toy lock")), "{shown}");
}

#[test]
fn it_adds_to_the_one_list_of_threads() {
    let (dump, truth) = process();
    let told = data(&session(&dump, WITH_TOY), "threads");
    let threads = told["threads"].as_array().expect("threads");
    assert_eq!(threads.len(), 3, "each once: {told}");
    let of = |name: &str| threads.iter().find(|thread| thread["tid"] == tid(&truth, name)).expect("it is there");
    let tock = of("tock");
    assert_eq!((&tock["state"], &tock["start"]), (&json!("blocked"), &json!("tock")), "as native code tells it");
    assert_eq!((&tock["waiting_on"]["kind"], &tock["waiting_on"]["name"]), (&json!("toy-lock"), &json!("till")));
    assert_eq!(tock["top"], "close_books", "toy_lock is the runtime's own");
    assert_eq!(of("main")["runtime_id"], Value::Null);
    let ids: Vec<&Value> = ["tick", "tock"].map(|name| &of(name)["runtime_id"]).into();
    assert!(ids.iter().all(|id| id.is_u64()), "{told}");
}

#[test]
fn its_exceptions_and_its_heap_are_told_by_the_commands_that_are_there() {
    let (dump, truth) = process();
    let session = session(&dump, WITH_TOY);
    let thrown = &data(&session, "printexception")["exceptions"][0];
    assert_eq!((&thrown["kind"], &thrown["family"]), (&json!("toy-throw"), &json!("exception")));
    assert_eq!((&thrown["type"], &thrown["message"]), (&json!("toy.Refusal"), &json!("the till is closed")));
    assert_eq!(support::as_address(&thrown["address"]), Some(truth.value("thrown")));
    assert!(text(&session, "pe").contains("the till is closed"));
    let heap = data(&session, "dumpheap -stat");
    let types = json!([["toy.Text", "0x1", 2, 64], ["toy.Number", "0x2", 1, 32],]);
    let told = heap["types"].as_array().expect("types").iter();
    let told: Vec<_> = told.map(|row| json!([row["type"], row["id"], row["count"], row["bytes"]])).collect();
    assert_eq!((&json!(told), &heap["heap"]), (&types, &json!("Toy")));
    let first = &data(&session, "dumpheap")["objects"][0];
    assert_eq!(support::as_address(&first["address"]), Some(truth.value("heap")));
}

#[test]
fn what_its_heap_lacks_is_told_once_from_when_it_was_read() {
    let (dump, _) = process();
    let session = session(&dump, WITH_TOY);
    let told = |line: &str| {
        let (_, out) = printed(&session, line, commands::Format::Json);
        let document = serde_json::from_str::<Value>(&out).expect("one line of JSON");
        let warnings = document["warnings"].as_array().expect("warnings").clone();
        warnings.iter().filter(|warning| warning["code"] == "toy-heap").count()
    };
    assert_eq!(told("modules"), 0);
    for line in ["dumpheap -stat", "dumpheap", "modules"] {
        assert_eq!(told(line), 1, "{line}");
    }
}

#[test]
fn a_view_of_its_own_is_a_command_with_help_and_json_where_the_runtime_is_there() {
    let (dump, truth) = process();
    let with = session(&dump, WITH_TOY);
    for name in ["toymethods", "tm"] {
        let told = data(&with, name);
        let first =
            json!({ "code": format!("{:#x}", truth.value("pay")), "bytes": 32, "name": "toy.Till::pay(Order)" });
        assert_eq!(told["methods"][0], first);
    }
    assert!(text(&with, "toymethods").contains("toy.Books::close()"));
    assert!(text(&with, "help").contains("toymethods"));
    assert!(text(&with, "help toymethods").contains("Methods of the toy runtime"));
    let without = session(&dump, RUNTIMES);
    let (answered, said) = printed(&without, "toymethods", commands::Format::Text(Style::default()));
    assert!(!answered, "{said}");
    assert!(!text(&without, "help").contains("toymethods"));
}

#[test]
fn one_runtime_is_asked_by_its_type() {
    let (dump, _) = process();
    let names = |runtimes| {
        let session = session(&dump, runtimes);
        let found = session.process().expect("a process").runtimes(&Job::default()).expect("they are looked for");
        (found.get::<Toy>().is_some(), found.names().collect::<Vec<_>>())
    };
    assert_eq!(names(WITH_TOY), (true, vec!["toy", "native"]));
    assert_eq!(names(RUNTIMES), (false, vec!["native"]));
}

fn stage(session: &Arc<Session>) -> Stage<'_> {
    let look = Look { depth: Depth::Indexed, ascii: false, background: Background::Dark };
    let answer = move |question: &_, job: &Job| {
        let slot = Default::default();
        worker::answer(Arc::clone(session), Clone::clone(question), job, &slot)
            .map_err(|error| Failure::Error(error.to_string()))
    };
    Stage::new(look, (160, 40), worker::describe(session), Box::new(answer))
}

#[test]
fn the_screen_has_its_pane_and_its_lock_and_its_frames() {
    let (dump, _) = process();
    let session = session(&dump, WITH_TOY);
    let mut stage = stage(&session);
    let summary = stage.text();
    assert!(summary.contains("tock waits for till (held by"), "{summary}");
    assert!(summary.contains("9 Methods"), "{summary}");
    let methods = stage.press("9").text();
    assert!(methods.contains("toy.Till::pay") && methods.contains("toy.Books::close"), "{methods}");
    let completed = stage.press("1:toym<Tab>").text();
    assert!(completed.contains(":toymethods"), "{completed}");
    assert_eq!(stage.press("<Enter>").text(), methods, "the prompt leads to the same pane");
    let locks = stage.press("4").text();
    assert!(locks.contains("till") && locks.contains("toy lock"), "{locks}");
    let stacks = stage.press("3").text();
    assert!(stacks.contains("toy.Till::pay"), "{stacks}");
}
