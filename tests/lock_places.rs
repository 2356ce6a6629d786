//! Where threads took the locks of a deadlock or a convoy, and where they wait: held against the lines of the source.

use serde_json::Value;
use support::{Truth, as_address, dump, repository};

/// A thread, what it does (`took`, `waits`) to which lock, the function and the text of the source's line.
type Expected<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str);

/// The number of the first line of a function of a source file that holds a text. A function begins where its name is
/// followed by `(` and ends at the next line that is a closing brace.
fn line_of(source: &str, function: &str, text: &str) -> u64 {
    let path = repository().join("fixtures").join(source);
    let code = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let own = function.rsplit("::").next().expect("a name");
    let begins = |line: &str| line.contains(&format!("{own}(")) && line.trim_end().ends_with('{');
    let inside = code.lines().enumerate().skip_while(|(_, line)| !begins(line));
    let mut body = inside.take_while(|(_, line)| *line != "}");
    let found = body.find(|(_, line)| line.contains(text)).map(|(index, _)| index as u64 + 1);
    found.unwrap_or_else(|| panic!("no {text} in {function} in {source}"))
}

fn check(locks: &Value, truth: &Truth, source: &str, expected: &[Expected<'_>]) {
    for (thread, does, lock, function, text) in expected {
        let (tid, address) = (truth.tid(thread), truth.lock(lock));
        let places = locks["places"].as_array().expect("places");
        let place = places
            .iter()
            .find(|place| place["tid"] == tid && place["does"] == *does && as_address(&place["lock"]) == Some(address))
            .unwrap_or_else(|| panic!("no place where {thread} {does} {lock} in {places:#?}"));
        let named = place["function"].as_str().unwrap_or_default();
        assert!(named.contains(function), "{thread} {does} {lock} in {function}: {place}");
        assert_eq!(place["line"].as_u64(), Some(line_of(source, function, text)), "{thread} {does} {lock}: {place}");
        let file = place["file"].as_str().unwrap_or_default();
        assert!(file.ends_with(source.rsplit('/').next().expect("a file name")), "{place}");
    }
}

fn locks_of(fixture: &str, variant: &str) -> (Value, Truth) {
    let dump = dump(fixture, variant);
    let output = support::dumpscope!("analyze", dump.core(), "--offline", "--json", "-c", "locks").expect_status(0);
    (output.data("locks"), dump.truth())
}

#[test]
fn locks_of_c_were_taken_where_the_source_takes_them_on_glibc_and_musl() {
    for variant in ["glibc", "glibc-nopie", "glibc-static", "musl", "musl-static"] {
        let (locks, truth) = locks_of("deadlock", variant);
        let expected = [
            ("worker-3", "took", "g_orders", "reserve", "pthread_mutex_lock(&g_orders)"),
            ("worker-3", "waits", "g_stock", "reserve", "pthread_mutex_lock(&g_stock)"),
            ("worker-7", "took", "g_stock", "commit", "pthread_mutex_lock(&g_stock)"),
            ("worker-7", "waits", "g_orders", "commit", "pthread_mutex_lock(&g_orders)"),
        ];
        check(&locks, &truth, "deadlock/main.c", &expected);
    }
}

#[test]
fn locks_of_rust_were_taken_where_the_source_takes_them() {
    for variant in ["gnu", "musl"] {
        let (locks, truth) = locks_of("rust-std", variant);
        let expected = [
            ("worker-3", "took", "G_ORDERS", "reserve", "G_ORDERS.lock()"),
            ("worker-3", "waits", "G_STOCK", "reserve", "G_STOCK.lock()"),
            ("worker-7", "took", "G_STOCK", "commit", "G_STOCK.lock()"),
        ];
        check(&locks, &truth, "rust-std/main.rs", &expected);
    }
}

#[test]
fn guards_of_cxx_took_their_locks_where_they_are_declared() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.args(["demo", "--json", "-c", "locks"]);
    let locks = support::run(command).expect_status(0).data("locks");
    let file = repository().join("fixtures/demo/truth.json");
    let truth = Truth::parse(&std::fs::read_to_string(file).expect("the demo's truth is committed"));
    check(
        &locks,
        &truth,
        "demo/orders.cc",
        &[
            ("worker-3", "took", "g_orders", "Orders::place", "guard(g_orders)"),
            ("worker-7", "waits", "g_orders", "Orders::commit", "guard(g_orders)"),
        ],
    );
    check(&locks, &truth, "demo/pool.cc", &[("main", "took", "g_pool_mu", "refresh_prices", "guard(g_pool_mu)")]);
    check(&locks, &truth, "demo/stock.cc", &[("worker-3", "waits", "g_stock", "Stock::reserve", "g_stock.lock()")]);
}

#[test]
fn one_lock_is_told_with_the_cycle_or_the_convoy_that_it_is_part_of() {
    let dump = dump("deadlock", "glibc");
    let truth = dump.truth();
    let address = format!("{:#x}", truth.lock("g_stock"));
    let line = format!("locks {address}");
    let output = support::dumpscope!("analyze", dump.core(), "--offline", "-c", &line).expect_status(0);
    let (third, seventh) = (truth.tid("worker-3"), truth.tid("worker-7"));
    // How deep in libc the frame is, behind the #, is not the source's to say.
    let drawing = output.stdout.lines().skip_while(|line| !line.contains('┌')).take(9);
    let drawing: Vec<&str> = drawing.map(|line| line.split(" #").next().unwrap_or(line)).collect();
    let at = |function: &str, lock: &str| {
        format!("{function} main.c:{}", line_of("deadlock/main.c", function, &format!("pthread_mutex_lock(&{lock})")))
    };
    let expected = [
        format!("  ┌▶ {third} worker holds g_orders"),
        format!("  │      taken in {}", at("reserve", "g_orders")),
        "  │    ▼ wants g_stock".to_owned(),
        format!("  │      in {}", at("reserve", "g_stock")),
        format!("  │  {seventh} worker holds g_stock"),
        format!("  │      taken in {}", at("commit", "g_stock")),
        "  │    ▼ wants g_orders".to_owned(),
        format!("  │      in {}", at("commit", "g_orders")),
        "  └────┘".to_owned(),
    ];
    assert_eq!(drawing, expected, "{}", output.stdout);
    let output = support::dumpscope!("analyze", dump.core(), "--offline", "-c", "locks 0x10").expect_status(1);
    assert!(output.stderr.contains("'locks' lists those that are"), "{}", output.stderr);
}
