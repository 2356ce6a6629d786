//! `dumpasync`: asynchronous methods that wait, each with who awaits it, and what they wait for in the end.

mod answer;
mod coalesced;
mod drawn;
mod rows;
mod stats;

pub use self::answer::{AwaitedRow, DumpAsync, FieldRow, FrameRow, MethodRow, StackRow};
use self::rows::Wanted;
use crate::job::Job;
use crate::model::{Problem, Subject};
use crate::session::Session;
use crate::session::coreclr::Pending;
use crate::shape;
use crate::views::{Alias, Answered, Answers, Arg, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "dumpasync",
    aliases: &[Alias::of("async")],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Value("address", Kind::Address, "only stacks that this object is part of"),
        Arg::Value("addr", Kind::Address, "the same"),
        Arg::Value("mt", Kind::Address, "only stacks with a state machine or task of this method table"),
        Arg::Value("methodtable", Kind::Address, "the same"),
        Arg::Value("type", Kind::Word, "only stacks with a state machine or task whose type's name contains it"),
        Arg::Flag("tasks", "also stacks of tasks that are no method's"),
        Arg::Flag("t", "the same"),
        Arg::Flag("completed", "also what has ended"),
        Arg::Flag("c", "the same"),
        Arg::Flag("fields", "with the fields of each state machine: parameters, locals, what it awaits"),
        Arg::Flag("f", "the same"),
        Arg::Flag("stats", "how many there are of each method, in place of stacks"),
        Arg::Flag("coalesce", "stacks that are alike as one, with their number"),
    ],
    pane: Some("Async"),
    doc: "Asynchronous methods of .NET that wait: who awaits whom, and what for in the end",
    help: "What is waited for stands first, then who awaits it, then who awaits that; the number of the await at which a method is \
           suspended counts from 0. A thread that blocks on a task of the stack is told behind it. Found by one pass over the \
           heap: objects that the collector has not taken yet are among them. What is waited for is a `delay`, `semaphore`, `channel`, \
           `socket`, `pipe`, `file` or `timer`; a `task-run`, which has code of its own; a `completion-source`; a `when-all`, `when-any`, \
           `wait-async` or `unwrap`; another `task`, or a `source` that is none. `continuation`: what was awaited has ended, and the method was not \
           called again yet; `yield`: `Task.Yield`, likewise; `running`; `ended`; `circle`: it waits for who awaits it; `unknown`: it cannot be read.

$ dumpscope shop.core -c dumpasync
0x7f29a180ae58 completion-source Shop.Program.Gate blocks 16281
0x7f29a182f1a8 ├ Shop.Program.Inner await 0 Async.cs:56
0x7f29a182f220 ├ Shop.Program.Middle await 1 Async.cs:52
0x7f29a182f2b8 └ Shop.Program.Outer await 0 Async.cs:45
0x7f29a1833640 continuation System.Threading.Tasks.Task+DelayPromise blocks 16285
0x7f29a18336e8 └ Shop.Program.Show await 0
…",
    build,
    schema: shape!(DumpAsync),
};

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let with_completed = query.flag("completed") || query.flag("c");
    let wanted = Wanted {
        address: query.address("address").or(query.address("addr")),
        table: query.address("mt").or(query.address("methodtable")),
        type_name: query.text("type"),
        with_tasks: query.flag("tasks") || query.flag("t"),
    };
    let (data, problems) = super::with(session, job, |runtime| {
        let pending = if with_completed { runtime.pending_and_completed(job) } else { runtime.pending(job) }?;
        let problems = problems(&pending);
        if query.flag("stats") {
            let methods = Some(stats::of(&pending, &wanted));
            return Ok((DumpAsync { stacks: None, methods, complete: problems.is_empty() }, problems));
        }
        let with_fields = query.flag("fields") || query.flag("f");
        let stacks = rows::stacks(runtime, &pending, &wanted, with_fields);
        let stacks = if query.flag("coalesce") { coalesced::of(stacks) } else { stacks };
        Ok((DumpAsync { stacks: Some(stacks), methods: None, complete: problems.is_empty() }, problems))
    })?;
    Ok(Box::new(Answered { data, problems }))
}

fn problems(pending: &Pending) -> Vec<Problem> {
    let told = |words| Problem::new("async-unread", Subject::Capture, words);
    pending.gaps.words().into_iter().map(told).collect()
}
