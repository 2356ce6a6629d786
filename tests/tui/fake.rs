//! A dump that never was: hand-written answers, so that a screen can be checked by eye against what it shows.

use dumpscope::job::Job;
use dumpscope::model::{Addr, Problem, Subject, Tid};
use dumpscope::report::section::{Body, Cell, Column, Node, Row, Section, Table, Tone, Value};
use dumpscope::tui::event::{Answered, Changed, Failure, Opened, Question};
use dumpscope::tui::look::{Background, Depth, Look};
use dumpscope::tui::stage::Stage;
use dumpscope::views::Focus;

/// A terminal with every symbol and 256 colours.
pub(crate) const LOOK: Look = Look { depth: Depth::Indexed, ascii: false, background: Background::Dark };

/// The names of the threads, by tid.
pub(crate) const THREADS: [(u32, &str, &str, &str, &str); 6] = [
    (4711, "main", "crashed", "", "shop::Pool<shop::Order, std::allocator<shop::Order> >::refresh_prices(int)"),
    (4719, "worker-3", "blocked", "mutex g_stock", "shop::Stock::reserve(shop::Order const&)"),
    (4723, "worker-7", "blocked", "mutex g_orders", "shop::Orders::commit(shop::Order&, bool)"),
    (4725, "worker-9", "sleeping", "sleep", "shop::Orders::retry()"),
    (4726, "worker-10", "blocked", "condvar g_queue.filled", "shop::Pool::next()"),
    (4730, "flusher", "blocked", "write fd 12", "write_ledger"),
];

/// A stage over it.
pub(crate) fn stage(width: u16, height: u16) -> Stage<'static> {
    Stage::new(LOOK, (width, height), opened(), Box::new(answer))
}

/// What the first line says.
pub(crate) fn opened() -> Opened {
    Opened {
        program: Some("orders-api".to_owned()),
        file: "core.4711".to_owned(),
        arch: "x86-64".to_owned(),
        signal: Some("SIGSEGV".to_owned()),
        threads: 6,
        bytes: 412_000_000,
        thread: Some(Tid(4711)),
        ..Opened::default()
    }
}

/// Answers as the views would.
pub(crate) fn answer(question: &Question, _: &Job) -> Result<Answered, Failure> {
    match question {
        Question::Source { line, .. } => return Ok(shown(source(*line))),
        Question::Words { .. } => return Ok(shown(Section::default())),
        Question::Frame { .. } => return Ok(shown(source(88))),
        Question::Choices => return Err(Failure::Error("a dump is open".to_owned())),
        // Each word of this memory holds its own address and 0x40.
        Question::Pointer(Addr(at)) => {
            return Ok(Answered { points_to: Some(Addr(at + 0x40)), ..shown(Section::default()) });
        }
        _ => {}
    }
    let (line, focus) = (question.line(), question.focus());
    let mut words = line.split_whitespace();
    let section = match words.next().unwrap_or_default() {
        "summary" => summary(),
        "threads" => threads(),
        "parallelstacks" => stacks(),
        "locks" => words.next().filter(|word| word.starts_with("0x")).map_or_else(locks, lock),
        "printexception" => match words.next() {
            Some("-n") => exception(words.next().unwrap_or_default()),
            _ => exceptions(),
        },
        "modules" => words.next().filter(|word| word.starts_with("0x")).map_or_else(modules, module),
        "stack" => stack(focus.thread.unwrap_or(Tid(4711))),
        "readmemory" => memory(&line.split_whitespace().collect::<Vec<_>>())?,
        "setthread" => {
            let tid = Tid(words.last().and_then(|tid| tid.parse().ok()).unwrap_or(0));
            let focus = Focus { thread: Some(tid), ..Focus::default() };
            let said = format!("Thread {tid} is selected.");
            let changed = Some(Changed { focus, said, opened: None });
            return Ok(Answered { changed, ..shown(Section::default()) });
        }
        other => return Err(Failure::Error(format!("no answer to {other}"))),
    };
    Ok(shown(section))
}

/// An answer without a change.
pub(crate) fn shown(section: Section) -> Answered {
    Answered::shown(section)
}

/// A section of these parts.
pub(crate) fn section(bodies: Vec<Body>) -> Section {
    Section { bodies, problems: Vec::new() }
}

fn function(name: &str) -> Cell {
    let ours = name.starts_with("shop::") || name == "main" || name == "write_ledger";
    Cell::new(Value::Function(name.into())).tone(if ours { Tone::Plain } else { Tone::Dim })
}

fn count(number: u64) -> Cell {
    Cell::new(Value::Count(number)).tone(Tone::Dim)
}

fn summary() -> Section {
    let link = |text: &str| Cell::text(text).tone(Tone::Link);
    let lines = vec![
        Row::about(
            Subject::Lock(Addr(0x4e_1360)),
            vec![
                Cell::text("✗").tone(Tone::Bad),
                Cell::text("deadlock:").tone(Tone::Strong),
                link("worker-3 4719"),
                Cell::text("waits for"),
                link("g_stock"),
                Cell::text("(held by worker-7), worker-7 waits for g_orders (held by worker-3)"),
            ],
        ),
        Row::text(""),
        Row::about(Subject::Thread(Tid(4719)), vec![link("     worker-3 ─ holds ─▶ g_orders ◀─ wants ─ worker-7")]),
        Row::about(Subject::Thread(Tid(4723)), vec![link("          └─ wants ─▶ g_stock ◀─ holds ─────┘")]),
        Row::text(""),
    ];
    let fields = vec![
        ("Process".to_owned(), Row::text("/srv/orders-api --port 8080")),
        ("Dump".to_owned(), Row::new(vec![Cell::new(Value::Bytes(412_000_000)), Cell::text("complete")])),
    ];
    let problem =
        Problem::new("module-file-missing", Subject::Module(Addr(0x7f12_0000)), "libstock.so: file not found")
            .with_remedy("pass it with --exe FILE");
    Section { bodies: vec![Body::Lines(lines), Body::Fields(fields)], problems: vec![problem] }
}

/// The Threads pane.
pub(crate) fn threads() -> Section {
    let columns = vec![
        Column::right("#"),
        Column::left("Thread"),
        Column::left("State"),
        Column::wide("Waits for", 1),
        Column::wide("In", 2),
    ];
    let row = |(index, (tid, name, state, waits, top)): (u64, &(u32, &str, &str, &str, &str))| {
        let tone = if *state == "crashed" { Tone::Bad } else { Tone::Plain };
        let waits = if waits.is_empty() { Cell::NONE } else { Cell::text(*waits) };
        let cells = vec![
            count(index),
            Cell::text(format!("{tid} {name}")).tone(Tone::Link),
            Cell::text(*state).tone(tone),
            waits,
            function(top),
        ];
        Row::about(Subject::Thread(Tid(*tid)), cells)
    };
    let rows = (0u64..).zip(&THREADS).map(row).collect();
    section(vec![Body::Table(Table::new(columns, rows))])
}

fn stacks() -> Section {
    let frame = |name: &str| Row::new(vec![function(name)]);
    let node = |depth, threads: u64, names: &[&str], tids: &[u32]| {
        let mut row = frame(names[0]);
        row.cells.insert(0, Cell::new(Value::Count(threads)).tone(Tone::Strong));
        row.subject = tids.first().map(|tid| Subject::Thread(Tid(*tid)));
        let mut folded: Vec<Row> = names[1..].iter().map(|name| frame(name)).collect();
        if !tids.is_empty() {
            let tids: Vec<Tid> = tids.iter().map(|tid| Tid(*tid)).collect();
            folded.push(Row::new(vec![Cell::new(Value::Tids(tids.into())).tone(Tone::Link)]));
        }
        Node { depth, row, folded }
    };
    section(vec![Body::Tree(vec![
        node(0, 5, &["clone3", "start_thread", "shop::worker(void*)"], &[]),
        node(1, 3, &["shop::dispatch(int)"], &[]),
        node(2, 1, &["shop::Stock::reserve(shop::Order const&)", "pthread_mutex_lock", "__lll_lock_wait"], &[4719]),
        node(2, 1, &["shop::Orders::commit(shop::Order&, bool)", "pthread_mutex_lock", "__lll_lock_wait"], &[4723]),
        node(2, 1, &["shop::Orders::retry()", "nanosleep"], &[4725]),
        node(1, 1, &["shop::Pool::next()", "pthread_cond_wait"], &[4726]),
        node(1, 1, &["write_ledger", "write"], &[4730]),
        node(0, 1, &["_start", "main", "shop::Pool<shop::Order>::refresh_prices(int)"], &[4711]),
    ])])
}

/// The Locks pane: the table alone.
fn locks() -> Section {
    let columns = vec![
        Column::wide("Lock", 2),
        Column::left("Kind"),
        Column::right("Owner"),
        Column::wide("Thread", 1),
        Column::right("Waiters"),
        Column::left("In"),
        Column::left("Evidence"),
    ];
    let row = |addr, name: &str, kind: &str, owner: (Cell, &str), waiters, cycle: &str, evidence: &str| {
        let cycle = if cycle.is_empty() { Cell::NONE } else { Cell::text(cycle).tone(Tone::Bad) };
        let cells = vec![
            Cell::text(name).tone(Tone::Link),
            Cell::text(kind),
            owner.0,
            Cell::text(owner.1),
            Cell::new(Value::Count(waiters)),
            cycle,
            Cell::text(evidence).tone(Tone::Dim),
        ];
        Row::about(Subject::Lock(Addr(addr)), cells)
    };
    let known = |tid, name| (Cell::new(Value::Tid(Tid(tid))).tone(Tone::Link), name);
    let unknown = (Cell::unknown("the lock does not name it"), "");
    let rows = vec![
        row(0x4e_1360, "g_stock", "recursive mutex ×2", known(4723, "worker-7"), 1, "deadlock 1", "owner-field"),
        row(0x4e_1400, "g_orders", "mutex", known(4719, "worker-3"), 1, "deadlock 1", "owner-field"),
        row(0x4e_1500, "g_pool_mu", "mutex", known(4711, "main"), 1_019, "", "owner-field"),
        row(0x7f12_00a0, "0x7f1200a0", "Rust Mutex", unknown, 2, "", "wait"),
    ];
    section(vec![Body::Table(Table::new(columns, rows))])
}

/// What one lock is part of: a cycle of two, or a convoy.
fn lock(address: &str) -> Section {
    let line = |(before, text): &(&str, &str)| {
        let lead = Cell::text(*before).tone(Tone::Dim);
        let cells = if before.is_empty() { vec![Cell::text(*text)] } else { vec![lead, Cell::text(*text)] };
        Row::about(Subject::Thread(Tid(4719)), cells)
    };
    let told: &[(&str, &str)] = match address {
        "0x4e1360" | "0x4e1400" => &[
            (
                "",
                "Deadlock: 4719 worker-3 waits for g_stock (held by 4723 worker-7); 4723 worker-7 waits for g_orders (held \
                 by 4719 worker-3)",
            ),
            ("", ""),
            ("  ┌▶", "4719 worker-3 holds g_orders"),
            ("  │     ", "taken in shop::Orders::place orders.cpp:77 #6"),
            ("  │    ▼", "wants g_stock"),
            ("  │     ", "in shop::Stock::reserve stock.cpp:88 #2"),
            ("  │ ", "4723 worker-7 holds g_stock"),
            ("  │     ", "taken in shop::Stock::restock stock.cpp:41 #5"),
            ("  │    ▼", "wants g_orders"),
            ("  │     ", "in shop::Orders::commit orders.cpp:141 #2"),
            ("  └────┘", ""),
        ],
        _ => &[("", "1,019 threads wait for g_pool_mu, held by 4711 main, which reads fd 7")],
    };
    let fields = vec![("Address".to_owned(), Row::text(address)), ("Evidence".to_owned(), Row::text("owner-field"))];
    let blank = Body::Lines(vec![Row::text("")]);
    section(vec![Body::Lines(told.iter().map(line).collect()), blank, Body::Fields(fields)])
}

/// The Exceptions pane: the table alone.
fn exceptions() -> Section {
    let columns = vec![
        Column::left(""),
        Column::right("Tid"),
        Column::wide("Thread", 1),
        Column::wide("Type", 2),
        Column::wide("Message", 3),
        Column::wide("State", 2),
    ];
    let row = |index, mark: Cell, (tid, name): (u32, &str), of_type: &str, message: &str, state: &str| {
        let cells = vec![
            mark,
            Cell::new(Value::Tid(Tid(tid))).tone(Tone::Link),
            Cell::text(name),
            Cell::new(Value::Function(of_type.into())).tone(Tone::Strong),
            Cell::text(message),
            if state.is_empty() { Cell::NONE } else { Cell::text(state) },
        ];
        Row::about(Subject::Exception(index), cells)
    };
    let rows = vec![
        row(0, Cell::text("✗").tone(Tone::Bad), (4711, "main"), "SIGSEGV", "reading 0x10", ""),
        row(1, Cell::text("•"), (4725, "worker-9"), "shop::OutOfStock", "out of stock: item 5", "being handled"),
    ];
    section(vec![Body::Table(Table::new(columns, rows))])
}

/// One exception with its stack.
fn exception(index: &str) -> Section {
    let (mark, name, message, tid) = match index {
        "0" => ("✗", "SIGSEGV", ": reading 0x10", Tid(4711)),
        _ => ("•", "shop::OutOfStock", ": out of stock: item 5, being handled", Tid(4725)),
    };
    let cells = vec![Cell::text(mark).tone(Tone::Bad), Cell::text(name).tone(Tone::Strong), Cell::text(message)];
    section(vec![Body::Lines(vec![Row::about(Subject::Thread(tid), cells)]), Body::Table(frames(tid))])
}

fn modules() -> Section {
    let columns = vec![Column::rigid("Base"), Column::left("Symbols"), Column::wide("Path", 1)];
    let row = |base: u64, symbols: &str, path: &str| {
        let cells = vec![
            Cell::new(Value::Addr(Addr(base))).tone(Tone::Dim),
            Cell::text(symbols),
            Cell::new(Value::Path(path.into())),
        ];
        Row::about(Subject::Module(Addr(base)), cells)
    };
    let rows = vec![
        row(0x40_0000, "dwarf", "/srv/orders-api"),
        row(0x7f12_0000, "none", "/opt/shop/releases/2026-11-20T08:00:00/lib/x86_64-linux-gnu/libstock.so.3.14"),
    ];
    section(vec![Body::Table(Table::new(columns, rows))])
}

/// One module, whole.
fn module(base: &str) -> Section {
    let fields =
        [("Base", base), ("Build id", "3f2a91c0d7e84b15"), ("File", "? (no file with this build id was found)")];
    let fields = fields.into_iter().map(|(label, text)| (label.to_owned(), Row::text(text))).collect();
    section(vec![Body::Fields(fields)])
}

/// The frames of every thread, but for the innermost of the program's own.
fn frames(tid: Tid) -> Table {
    let columns = vec![
        Column::right("#"),
        Column::left(""),
        Column::wide("Function", 3),
        Column::wide("Source", 1),
        Column::left("Module"),
    ];
    let top = THREADS.iter().find(|thread| thread.0 == tid.0).map_or("?", |thread| thread.4);
    let stack = [
        ("", "__lll_lock_wait", None, "libc.so.6"),
        ("", "pthread_mutex_lock", None, "libc.so.6"),
        ("", top, Some(("/srv/src/stock.cpp", 88)), "orders-api"),
        ("i", "shop::dispatch(int)", Some(("/srv/src/dispatch.cpp", 1_040)), "orders-api"),
        ("s", "shop::worker(void*)", Some(("/srv/src/pool.cpp", 31)), "orders-api"),
        ("", "start_thread", None, "libc.so.6"),
    ];
    /// Mark, function, file and line, module.
    type Line<'a> = (&'a str, &'a str, Option<(&'a str, u32)>, &'a str);
    let row = |(index, (mark, name, source, module)): (usize, &Line<'_>)| {
        let tone = if *mark == "s" { Tone::Guess } else { Tone::Dim };
        let source = source.map_or(Cell::NONE, |(file, line)| Cell::new(Value::Source(file.into(), Some(line))));
        let cells = vec![
            count(index as u64),
            if mark.is_empty() { Cell::NONE } else { Cell::text(*mark).tone(tone) },
            function(name),
            source,
            Cell::text(*module).tone(Tone::Dim),
        ];
        Row::about(Subject::Frame(tid, index), cells)
    };
    Table::new(columns, stack.iter().enumerate().map(row).collect())
}

fn stack(tid: Tid) -> Section {
    let name = THREADS.iter().find(|thread| thread.0 == tid.0).map_or("", |thread| thread.1);
    let title = Row::about(
        Subject::Thread(tid),
        vec![Cell::text("Thread").tone(Tone::Dim), Cell::text(format!("{tid} {name}")).tone(Tone::Strong)],
    );
    section(vec![Body::Lines(vec![title]), Body::Table(frames(tid))])
}

/// 64 KiB of memory at 0x10000, each word the address 0x40 further on.
fn memory(words: &[&str]) -> Result<Section, Failure> {
    let number = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at + 1)?.parse::<u64>().ok()
    };
    let address = words.get(1).filter(|word| word.starts_with("0x")).map_or(0x1_0000, |word| {
        u64::from_str_radix(word.trim_start_matches("0x"), 16).expect("the screen asks for hexadecimal addresses")
    });
    if !(0x1_0000..0x2_0000).contains(&address) {
        return Err(Failure::Error(format!("cannot read memory at {address:#x}: not mapped")));
    }
    let per_row = number("-w").unwrap_or(16);
    let rows = number("-n").unwrap_or(256) / per_row;
    let columns =
        vec![Column::rigid("Address"), Column::rigid("Bytes"), Column::rigid("Text"), Column::wide("Points to", 1)];
    let row = |index: u64| {
        let at = address + index * per_row;
        let words = (0..per_row / 8).flat_map(|word| (at + word * 8 + 0x40).to_le_bytes());
        let hex: Vec<String> = words.map(|byte| format!("{byte:02x}")).collect();
        let cells = vec![
            Cell::new(Value::Addr(Addr(at))).tone(Tone::Dim),
            Cell::text(hex.join(" ")),
            Cell::text(".".repeat(hex.len())),
            if index == 2 { Cell::text("g_orders").tone(Tone::Link) } else { Cell::NONE },
        ];
        Row::about(Subject::Memory(Addr(at)), cells)
    };
    Ok(section(vec![Body::Table(Table::new(columns, (0..rows.max(1)).map(row).collect()))]))
}

fn source(line: u32) -> Section {
    let row = |number: u32| {
        let tone = if number == line { Tone::Strong } else { Tone::Plain };
        Row::new(vec![count(u64::from(number)), Cell::text(format!("    line_{number}();")).tone(tone)])
    };
    let columns = vec![Column::right("Line"), Column::wide("Source", 1)];
    let rows = (line.saturating_sub(3).max(1)..=line + 3).map(row).collect();
    section(vec![Body::Table(Table::new(columns, rows))])
}
