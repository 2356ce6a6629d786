//! `stack -a`: arguments and local variables of real processes, against what their source says and what gdb reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dumpscope::job::Job;
use dumpscope::target::Search;
use serde_json::Value;
use support::dumpscope;

/// Every kind of value once. What `compute` holds is written here in plain sight; `keep` makes the values survive at -O0 and -O1.
const SOURCE: &str = r#"
#include <cstdlib>
#include <string>

enum Color { Red = 1, Green = 2, Blue = 40 };
enum class Level : signed char { Low = -1, High = 3 };
struct Inner { short a; short b; };
struct Order { int id; double price; const char *name; Inner inner; unsigned flag : 3; int delta : 5; };

int g_stock = 7;
volatile int sink;
// Whoever calls it has to have written what the pointer leads to.
__attribute__((noipa)) void keep(const void *at) { asm volatile("" : : "r"(at) : "memory"); }
__attribute__((noipa)) void finish(int code) { sink = code; abort(); }

static inline __attribute__((always_inline)) void check(int doubled) {
    int tripled = doubled / 2 * 3;
    keep(&tripled);
    finish(tripled);
}

__attribute__((noipa)) int compute(int count, const char *title, Order *order, double ratio, Color color, bool on,
                                      const Order &same, unsigned char byte, Level level) {
    char buffer[16] = "hello\tworld";
    int numbers[3] = {10, -20, 30};
    std::string text = "a string of the library that is longer than sixteen bytes";
    long long big = -9000000000LL;
    float half = 0.5f;
    int *stock = &g_stock;
    const char *gone = reinterpret_cast<const char *>(0x10);
    void (*callback)(int) = finish;
    Order copy = *order;
    keep(buffer); keep(numbers); keep(&text); keep(&big); keep(&half); keep(&stock); keep(&gone); keep(&callback);
    keep(&copy); keep(&title); keep(&ratio); keep(&color); keep(&on); keep(&byte); keep(&level);
    {
        int inner_block = 77;
        keep(&inner_block);
        check(count * 2);
        sink = inner_block;
    }
    { int other_block = 78; keep(&other_block); }
    return sink + *stock + same.id;
}

int main(int argc, char **argv) {
    Order order = {4711, 2.25, "shoes", {3, -4}, 5, -6};
    keep(&order);
    return compute(21 + argc - 1, "the title", &order, 1.5, Blue, true, order, 200, Level::Low);
}
"#;

/// Built with these options, run until it aborts: the program and its core.
fn dumped(name: &str, options: &[&str]) -> (PathBuf, PathBuf) {
    dumped_of(SOURCE, name, options)
}

fn dumped_of(source: &str, name: &str, options: &[&str]) -> (PathBuf, PathBuf) {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("locals-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("the scratch folder can be made");
    let (file, exe) = (dir.join("main.cpp"), dir.join("exe"));
    fs::write(&file, source).expect("the source can be written");
    let mut gcc = Command::new("g++");
    gcc.args(options).arg("-o").arg(&exe).arg(&file);
    let built = gcc.output().expect("needs g++: apt-get install g++");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("/proc is mounted");
    assert!(
        !pattern.starts_with('|') && !pattern.contains('/'),
        "cores go to '{pattern}': sysctl -w kernel.core_pattern=core"
    );
    let mut run = Command::new("sh");
    run.arg("-c").arg("ulimit -c unlimited; exec \"$0\"").arg(&exe).current_dir(&dir);
    run.output().expect("sh runs");
    let core = fs::read_dir(&dir)
        .expect("the folder is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core")));
    (exe, core.expect("a core was written"))
}

fn remove(core: &Path) {
    fs::remove_dir_all(core.parent().expect("it is in the scratch folder")).expect("the scratch folder is ours");
}

fn frames(core: &Path) -> Vec<Value> {
    let data = dumpscope!("analyze", core, "--json", "-c", "stack -a").expect_status(0).data("stack");
    data["threads"][0]["frames"].as_array().expect("there are frames").clone()
}

fn frame<'f>(frames: &'f [Value], function: &str) -> &'f Value {
    let is = |frame: &&Value| frame["function"].as_str().is_some_and(|name| name.starts_with(function));
    frames.iter().find(is).unwrap_or_else(|| panic!("no {function} in {frames:#?}"))
}

fn variable<'f>(frame: &'f Value, name: &str) -> &'f Value {
    let all = frame["variables"].as_array().unwrap_or_else(|| panic!("no variables in {frame:#}"));
    all.iter().find(|variable| variable["name"] == name).unwrap_or_else(|| panic!("no {name} in {frame:#}"))
}

#[track_caller]
fn value<'f>(frame: &'f Value, name: &str) -> &'f str {
    let variable = variable(frame, name);
    variable["value"].as_str().unwrap_or_else(|| panic!("{name} is unknown: {variable}"))
}

/// What the source says of `compute`: how a value begins and ends, since addresses stand between.
const TRUTH: &[(&str, &str, &str)] = &[
    ("count", "21", ""),
    ("title", "0x", " \"the title\""),
    ("order", "0x", ""),
    ("ratio", "1.5", ""),
    ("color", "Blue", ""),
    ("on", "true", ""),
    ("same", "@0x", " \"shoes\", inner = {…}, flag = 5, delta = -6}"),
    ("byte", "'\\xc8'", ""),
    ("level", "Low", ""),
    ("buffer", "\"hello\\tworld\"", ""),
    ("numbers", "[10, -20, 30]", ""),
    ("text", "\"a string of the library that is longer than sixteen bytes\"", ""),
    ("big", "-9000000000", ""),
    ("half", "0.5", ""),
    ("stock", "0x", " <g_stock>"),
    ("gone", "0x10 ? (", " not mapped)"),
    ("callback", "0x", " <finish(int)>"),
    ("copy", "{id = 4711, price = 2.25, name = 0x", " \"shoes\", inner = {a = 3, b = -4}, flag = 5, delta = -6}"),
    ("inner_block", "77", ""),
];

#[track_caller]
fn is_true(frame: &Value, (name, begin, end): (&str, &str, &str)) {
    let value = value(frame, name);
    let exact = end.is_empty() && !begin.starts_with("0x");
    let same = if exact { value == begin } else { value.starts_with(begin) && value.ends_with(end) };
    assert!(same, "{name} is {value:?}, the source says {begin}…{end}");
}

#[test]
fn without_optimisation_every_value_is_the_one_of_the_source() {
    for options in [&["-O0", "-g"][..], &["-O0", "-g", "-gdwarf-4"]] {
        let (_, core) = dumped(options[options.len() - 1], options);
        let frames = frames(&core);
        let compute = frame(&frames, "compute");
        for truth in TRUTH {
            is_true(compute, *truth);
        }
        let names: Vec<&str> = compute["variables"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|found| found["name"].as_str())
            .collect();
        assert_eq!(names, TRUTH.iter().map(|(name, ..)| *name).collect::<Vec<_>>(), "in the order of the source");
        assert_eq!(variable(compute, "count")["kind"], "argument");
        assert_eq!(variable(compute, "big")["kind"], "local");
        assert_eq!(variable(compute, "big")["type"], "long long int");
        let check = frame(&frames, "check");
        assert_eq!((check["kind"].as_str(), value(check, "doubled")), (Some("inline"), "42"));
        assert_eq!(value(check, "tripled"), "63");
        assert_eq!(value(frame(&frames, "finish"), "code"), "63");
        assert_eq!(value(frame(&frames, "main"), "argc"), "1");
        remove(&core);
    }
}

#[test]
fn a_value_tells_its_parts_where_they_lie_and_what_it_refers_to() {
    let (_, core) = dumped("parts", &["-O0", "-g"]);
    let frames = frames(&core);
    let compute = frame(&frames, "compute");
    let number = |text: &Value| {
        let text = text.as_str().unwrap_or_else(|| panic!("{text} is no address"));
        u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("hexadecimal")
    };
    let copy = variable(compute, "copy");
    let field = |of: &Value, name: &str| -> Value {
        let fields = of["fields"].as_array().unwrap_or_else(|| panic!("no fields in {of}"));
        fields.iter().find(|field| field["name"] == name).unwrap_or_else(|| panic!("no {name} in {of}")).clone()
    };
    // The System V ABI lays `Order` out: int at 0, double at 8, pointer at 16, two shorts at 24, the bit fields at 28.
    for (name, ty, value, offset) in [
        ("id", "int", "4711", 0),
        ("price", "double", "2.25", 8),
        ("inner", "Inner", "{a = 3, b = -4}", 24),
        ("flag", "unsigned int", "5", 28),
        ("delta", "int", "-6", 28),
    ] {
        let field = field(copy, name);
        assert_eq!((&field["type"], &field["value"], &field["offset"]), (&ty.into(), &value.into(), &offset.into()));
        assert_eq!(number(&field["location"]), number(&copy["location"]) + offset, "{field}");
        assert!(field["address"].is_null(), "{field}");
    }
    let inner = field(copy, "inner");
    assert_eq!((&field(&inner, "b")["value"], &field(&inner, "b")["offset"]), (&"-4".into(), &2.into()));
    // The pointer and the reference are to the same order, in the frame of `main`.
    let (order, same) = (variable(compute, "order"), variable(compute, "same"));
    assert_eq!(number(&order["address"]), number(&same["address"]));
    assert_eq!(number(&order["address"]), number(&variable(frame(&frames, "main"), "order")["location"]));
    assert_eq!(field(same, "id")["value"], "4711");
    assert!(order["fields"].is_null() && variable(compute, "count")["address"].is_null());
    let elements = variable(compute, "numbers")["elements"].as_array().expect("elements");
    assert_eq!(elements.iter().map(|element| &element["value"]).collect::<Vec<_>>(), ["10", "-20", "30"]);
    remove(&core);
}

#[test]
fn with_optimisation_a_value_is_the_one_of_the_source_or_unknown() {
    for (name, options) in [("O1", ["-O1", "-g"]), ("O2", ["-O2", "-g"])] {
        let (_, core) = dumped(name, &options);
        let frames = frames(&core);
        let compute = frame(&frames, "compute");
        let mut known = 0;
        for truth in TRUTH {
            match variable(compute, truth.0)["unknown"].as_str() {
                Some(reason) => assert!(!reason.is_empty() && variable(compute, truth.0)["value"].is_null()),
                None => {
                    is_true(compute, *truth);
                    known += 1;
                }
            }
        }
        // What `keep` was given the address of has to be in memory.
        assert!(known >= 12, "{name}: only {known} are known in {compute:#}");
        remove(&core);
    }
}

#[test]
fn what_gdb_calls_optimized_out_is_unknown_and_what_it_reads_is_the_same() {
    for (name, options, least) in [("gdb-O0", ["-O0", "-g"], 12), ("gdb-O2", ["-O2", "-g"], 5)] {
        let (exe, core) = dumped(name, &options);
        let mut gdb = Command::new("gdb");
        gdb.args(["-batch", "-nx", "-iex", "set debuginfod enabled off", "-ex", "set print entry-values no"]);
        gdb.args(["-ex", "set print frame-arguments all", "-ex", "bt full"]).arg(&exe).arg(&core);
        let said = gdb.output().expect("needs gdb: apt-get install gdb");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let frames = frames(&core);
        let mut compared = 0;
        for function in ["finish", "compute", "main"] {
            let theirs = said.split("\n#").find(|part| part.contains(&format!("{function} (")));
            let theirs = theirs.unwrap_or_else(|| panic!("gdb shows no {function}: {said}"));
            for ours in frame(&frames, function)["variables"].as_array().expect("a list") {
                let name = ours["name"].as_str().expect("all have names");
                let after = |mark: String| theirs.split(&mark).nth(1).map(str::to_owned);
                let Some(gdb) = after(format!("\n        {name} = "))
                    .or_else(|| after(format!("({name}=")))
                    .or_else(|| after(format!(" {name}=")))
                    .or_else(|| after(format!("\n    {name}=")))
                else {
                    panic!("gdb shows no {name} of {function}: {theirs}");
                };
                // gdb does not follow the C library's call through a pointer; what is there tells whether we did.
                if (function, name) == ("main", "argv") && gdb.starts_with("<optimized out>") {
                    let Some(value) = ours["value"].as_str() else { continue };
                    let mut gdb = Command::new("gdb");
                    gdb.args(["-batch", "-nx", "-iex", "set debuginfod enabled off"]);
                    gdb.args(["-ex", &format!("x/s *(char **){value}")]).arg(&exe).arg(&core);
                    let said = gdb.output().expect("needs gdb: apt-get install gdb").stdout;
                    let path = exe.to_string_lossy().into_owned();
                    assert!(String::from_utf8_lossy(&said).contains(&path), "argv is {value}");
                    continue;
                }
                if gdb.starts_with("<optimized out>") {
                    assert!(ours["value"].is_null(), "{name} of {function} is optimized out: {ours}");
                    continue;
                }
                let Some(value) = ours["value"].as_str() else { continue };
                // Numbers and addresses are written alike by both.
                let plain: String =
                    value.chars().take_while(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).collect();
                if plain.is_empty() || ["gone", "callback"].contains(&name) {
                    continue;
                }
                let gdb = gdb.strip_prefix("(void (*)(int)) ").unwrap_or(&gdb);
                let gdb = gdb.split_once(") ").filter(|_| gdb.starts_with('(')).map_or(gdb, |(_, rest)| rest);
                let gdb = gdb.strip_prefix("Level::").unwrap_or(gdb);
                assert!(gdb.starts_with(&plain), "{name} of {function}: {value}, gdb: {}", &gdb[..gdb.len().min(80)]);
                compared += 1;
            }
        }
        assert!(compared >= least, "{name}: only {compared} were compared");
        remove(&core);
    }
}

#[test]
fn text_has_the_variables_below_their_frame_and_only_where_asked_for() {
    let (_, core) = dumped("text", &["-O0", "-g"]);
    let text = dumpscope!("analyze", &core, "--color", "never", "-c", "stack -a").expect_status(0).stdout;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.contains("compute")).expect("compute is a frame");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(lines[at + 1]), "arg count 21 int", "{text}");
    for line in ["color Blue Color", "byte '\\xc8' unsigned char", "big -9000000000 long long int"] {
        assert!(lines[at..].iter().any(|found| words(found).ends_with(line)), "{line}: {text}");
    }
    assert!(lines[at..].iter().any(|line| words(line).contains("text \"a string")), "{text}");
    let without = dumpscope!("analyze", &core, "--json", "-c", "stack").expect_status(0);
    assert!(!without.stdout.contains("variables"), "{}", without.stdout);
    remove(&core);
}

/// Arguments that are in no place any more when the program ends: only their callers know what they were. `jump` ends with a call, so
/// that its caller's call is no longer the one that led to `last`.
const PASSED: &str = r#"
#include <cstdlib>

volatile int sink;
__attribute__((noipa)) void finish(void) { abort(); }
__attribute__((noipa)) int last(int gone) { if (sink == 0) finish(); return sink; }
__attribute__((noipa)) int jump(int given) { return last(given + 1); }
__attribute__((noipa)) int inner(int count, const char *name, long extra) { int got = jump(sink); sink = got; return got + 1; }
__attribute__((noipa)) int middle(int count, const char *name) { int got = inner(count * 3, name, -9); sink = got; return got + 1; }
__attribute__((noipa)) int outer(int (*call)(int, const char *)) { int got = call(7, "shoes"); sink = got; return got + 1; }
int main() { sink = outer(middle); return 0; }
"#;

#[test]
fn what_is_in_no_place_any_more_is_what_the_caller_passed() {
    for (name, options) in [("entry5", &["-O2", "-g"][..]), ("entry4", &["-O2", "-g", "-gdwarf-4"])] {
        let (exe, core) = dumped_of(PASSED, name, options);
        let frames = frames(&core);
        let inner = frame(&frames, "inner");
        assert_eq!((value(inner, "count"), value(inner, "extra")), ("21", "-9"));
        assert!(value(inner, "name").ends_with(" \"shoes\""), "{inner:#}");
        let middle = frame(&frames, "middle");
        assert_eq!(value(middle, "count"), "7");
        // A function that ended with the call is not on the stack, so what it passed is not known.
        let gone = variable(frame(&frames, "last"), "gone");
        assert!(gone["unknown"].as_str().is_some_and(|why| why.contains("ended with a call")), "{gone}");
        let mut gdb = Command::new("gdb");
        gdb.args(["-batch", "-nx", "-iex", "set debuginfod enabled off"]);
        gdb.args(["-ex", "frame function inner", "-ex", "info args"]).arg(&exe).arg(&core);
        let said = gdb.output().expect("needs gdb: apt-get install gdb").stdout;
        let said = String::from_utf8_lossy(&said);
        for line in ["count = 21", "extra = -9"] {
            assert!(said.contains(line), "gdb does not say {line}: {said}");
        }
        remove(&core);
    }
}

#[test]
fn registers_of_outer_frames_are_those_that_gdb_unwinds() {
    let (exe, core) = dumped_of(PASSED, "registers", &["-O2", "-g"]);
    let names = ["rip", "rsp", "rbx", "rbp", "r12", "r13", "r14", "r15"];
    let frames = frames(&core);
    let mut compared = 0;
    for function in ["inner", "middle", "outer"] {
        let is =
            |frame: &Value| frame["function"].as_str().is_some_and(|name| name.starts_with(&format!("{function}(")));
        let index = frames.iter().position(is).unwrap_or_else(|| panic!("no {function}"));
        let asked = format!("registers -f {index}");
        let ours = dumpscope!("analyze", &core, "--json", "-c", &asked).expect_status(0).data("registers");
        assert_eq!(ours["frame"], index);
        // What a call does not preserve nobody has saved.
        assert!(ours["registers"]["rcx"].is_null(), "{ours}");
        let mut gdb = Command::new("gdb");
        gdb.args(["-batch", "-nx", "-iex", "set debuginfod enabled off", "-ex", &format!("frame function {function}")]);
        gdb.args(names.map(|name| format!("-ex=info registers {name}"))).arg(&exe).arg(&core);
        let said = gdb.output().expect("needs gdb: apt-get install gdb").stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        for name in names {
            let line = said.lines().find(|line| line.split_whitespace().next() == Some(name));
            let theirs =
                line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or_else(|| panic!("{name}: {said}"));
            assert_eq!(ours["registers"][name], theirs, "{name} in {function}");
            compared += 1;
        }
    }
    assert_eq!(compared, 24);
    let beyond = dumpscope!("analyze", &core, "-c", "registers -f 999").expect_status(1).stderr;
    assert!(beyond.contains("has no frame 999"), "{beyond}");
    remove(&core);
}

#[test]
fn the_variables_of_one_frame_are_those_of_the_whole_stack() {
    let session = dumpscope::demo::open(&Search::default(), &Job::default()).expect("the demo opens");
    let process = session.process().expect("a process");
    let mut told = 0;
    for index in 0..process.os_threads().len() {
        let stack = process.stack(index, &Job::default()).expect("a stack");
        let frames = process.named(&stack);
        let variables = |frames| process.variables(&stack, frames, &Job::default()).expect("nobody cancels");
        let all = variables(&frames);
        for (frame, expected) in frames.iter().zip(&all) {
            let alone = variables(std::slice::from_ref(frame)).into_iter().next().flatten();
            assert_eq!(&alone, expected, "thread {index}: {frame:?}");
        }
        told += all.iter().flatten().flatten().count();
    }
    assert!(told > 100, "{told} variables");
}

/// The program that `print` is asked about: lists, members of a method's own object, globals in a namespace, bases.
const PRINTED: &str = r#"
#include <cstdlib>
#include <string>
namespace shop {
struct Named { const char *name; };
struct Item : Named { int price; Item *next; };
struct Cart {
    Item items[2];
    Item *first;
    int total;
    __attribute__((noinline)) void pay(int tip) { total += tip; volatile int stop = total; if (stop) abort(); }
};
Cart g_cart;
}
static int g_counts[3] = {5, 6, 7};
namespace one { int same = 1; }
namespace two { int same = 2; }
std::string g_title = "a title";
int g_grid[2][3] = {{1, 2, 3}, {4, 5, 6}};
struct Root { int deep = 9; };
struct Left : virtual Root {};
Left g_left;
int main() {
    shop::Cart &cart = shop::g_cart;
    cart.items[0].name = "tea"; cart.items[0].price = 3; cart.items[0].next = &cart.items[1];
    cart.items[1].name = "jam"; cart.items[1].price = 4; cart.items[1].next = nullptr;
    cart.first = &cart.items[0];
    volatile int *counts = g_counts;
    cart.pay(counts[1]);
}
"#;

#[test]
fn print_follows_members_elements_and_pointers_without_running_code() {
    let (exe, core) = dumped_of(PRINTED, "print", &["-O0", "-g"]);
    let ask = |commands: &[&str]| {
        let mut words = vec!["analyze".to_owned(), core.display().to_string(), "--json".to_owned()];
        for command in commands {
            words.extend(["-c".to_owned(), (*command).to_owned()]);
        }
        let output = Command::new(env!("CARGO_BIN_EXE_dumpscope")).args(words).output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        serde_json::from_str::<Value>(text.lines().last().expect("a line")).expect("JSON")
    };
    let frames = frames(&core);
    let pay = frames.iter().position(|frame| frame["function"].as_str().is_some_and(|name| name.contains("pay")));
    let select = format!("frame {}", pay.expect("pay is on the stack"));
    let value = |expression: &str| {
        let answer = ask(&[&select, &format!("print {expression}")]);
        let data = &answer["data"];
        assert_eq!(data["expression"], expression, "{answer}");
        (data["type"].as_str().unwrap_or_default().to_owned(), data["value"].as_str().unwrap_or_default().to_owned())
    };
    let is = |expression: &str, ty: &str, shown: &str| {
        assert_eq!(value(expression), (ty.to_owned(), shown.to_owned()), "{expression}");
    };
    is("tip", "int", "6");
    is("total", "int", "6");
    is("this->total", "int", "6");
    is("items[1].price", "int", "4");
    is("first->next->price", "int", "4");
    is("(*first).price", "int", "3");
    is("shop::g_cart.items[0].price", "int", "3");
    is("g_cart.first->next->price", "int", "4");
    is("g_counts[2]", "int", "7");
    is("one::same", "int", "1");
    is("::two::same", "int", "2");
    // Its symbol is `g_title[abi:cxx11]`.
    is("g_title", "std::string", "\"a title\"");
    is("first[1].price", "int", "4");
    assert!(value("first->next->name").1.ends_with("\"jam\""), "{:?}", value("first->next->name"));
    let told = ask(&[&select, "print g_cart.total"])["data"]["globals"].clone();
    assert_eq!(told, serde_json::json!(["shop::g_cart of exe"]), "what was typed is a part of its name");
    // The address is that of the symbol table; what it is told to point to is read as that.
    let address = value("&g_cart").1;
    let address = address.split(' ').next().expect("an address");
    assert_eq!(value(&format!("((shop::Cart *){address})->total")).1, "6");
    let nm = Command::new("nm").arg("-C").arg(&exe).output().expect("needs nm: apt-get install binutils");
    let symbol =
        String::from_utf8_lossy(&nm.stdout).lines().find(|line| line.ends_with("shop::g_cart")).map(str::to_owned);
    let offset = symbol.as_deref().and_then(|line| line.split(' ').next()).expect("g_cart is a symbol");
    let last = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("hexadecimal") & 0xfff;
    assert_eq!(last(address), last(offset), "a page is not torn apart");
    for (expression, says) in [
        ("nothing", "no variable 'nothing'"),
        ("tip.x", "no member 'x'"),
        ("*first->next->next", "null pointer"),
        ("items[2]", "no element 2"),
        ("tip()", "not understood"),
        ("(", "')' is missing"),
        ("*tip", "int is no pointer"),
        ("same", "'same' may be one::same of exe, two::same of exe"),
        ("g_grid[1]", "2 dimensions"),
        ("g_left.deep", "a virtual base, which is not read"),
    ] {
        let answer = ask(&[&select, &format!("print {expression}")]);
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(says), "{expression}: {answer}");
    }
    remove(&core);
}
