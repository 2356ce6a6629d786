//! lldb's commands that have no answer of their own here.

use super::gdb::COUNTED;
use super::lines;
use super::reply::Entry;
use super::reply::Reason::Running;
use super::reply::Reply::{Line, Of, Same, Says};

const EXPRESSIONS: &str = "expressions are not evaluated; 'stack -a' shows arguments and variables with their values, 'readmemory NAME' a symbol's memory";
const FRAMES: &str = "'frame N' selects a frame of the selected thread by its number, 'up' and 'down' go from there";
const FILES: &str = "another dump is opened by another 'dumpscope DUMP'; --exe FILE, --symbols DIR and --sysroot DIR say where this one's files are";
const SYMBOLS: &str =
    "'setsymbolserver -directory DIR' looks for symbols there too; 'modules' tells where they come from";
const SCRIPTS: &str =
    "there is no language of scripts here: commands are read one a line from standard input, and --json prints data";
const SETTINGS: &str =
    "settings stand in the configuration file and on the command line: 'dumpscope config', 'dumpscope --help'";
const CODE: &str =
    "machine code is not disassembled yet; 'readmemory ADDR' shows its bytes, 'stack' the function and the line";

pub(super) const COMMANDS: &[Entry] = &[
    ("thread list", Same("threads")),
    (
        "thread backtrace",
        Line(lines::thread_backtrace, "'stack' shows the selected thread's stack, --all every thread's"),
    ),
    ("thread select", Line(lines::thread, COUNTED)),
    ("thread info", Says("'threads' says what each thread is and waits for")),
    ("thread exception", Same("printexception")),
    ("thread siginfo", Same("printexception")),
    ("thread return", Of(Running, "")),
    ("thread continue", Of(Running, "")),
    ("thread jump", Of(Running, "")),
    ("thread plan", Of(Running, "")),
    ("thread step-in", Of(Running, "")),
    ("thread step-inst", Of(Running, "")),
    ("thread step-inst-over", Of(Running, "")),
    ("thread step-out", Of(Running, "")),
    ("thread step-over", Of(Running, "")),
    ("thread step-scripted", Of(Running, "")),
    ("thread until", Of(Running, "")),
    ("thread trace", Of(Running, "")),
    ("frame select", Line(lines::frame, FRAMES)),
    ("frame info", Same("frame")),
    (
        "frame variable",
        Line(lines::frame_variables, "'stack -a -frame' shows all of the frame's arguments and variables"),
    ),
    ("v", Line(lines::frame_variables, "'stack -a -frame' shows all of the frame's arguments and variables")),
    ("var", Line(lines::frame_variables, "'stack -a -frame' shows all of the frame's arguments and variables")),
    ("vo", Line(lines::frame_variables, "'stack -a -frame' shows all of the frame's arguments and variables")),
    ("frame diagnose", Says("'printexception' tells what a fatal signal was about")),
    ("frame recognizer", Says(SETTINGS)),
    ("image list", Same("modules")),
    (
        "image lookup",
        Line(lines::module_of, "'modules ADDR' tells the module of an address, 'readmemory NAME' a symbol's memory"),
    ),
    ("image", Says("'modules' lists the modules, 'modules ADDR' tells one's files and where they were looked for")),
    ("target modules list", Same("modules")),
    (
        "target modules lookup",
        Line(lines::module_of, "'modules ADDR' tells the module of an address, 'readmemory NAME' a symbol's memory"),
    ),
    (
        "target modules",
        Says("'modules' lists the modules, 'modules ADDR' tells one's files and where they were looked for"),
    ),
    ("target symbols", Says(SYMBOLS)),
    ("target variable", Says(EXPRESSIONS)),
    ("target list", Same("summary")),
    ("add-dsym", Says(SYMBOLS)),
    ("register read", Line(lines::all_registers, "'registers' shows all of them")),
    ("register write", Of(Running, "")),
    ("register", Same("registers")),
    ("re", Same("registers")),
    ("memory read", Line(lines::memory_read, "'readmemory ADDR -n BYTES' shows memory")),
    ("memory region", Same("maddress")),
    ("memory find", Says("memory is not searched yet; 'readmemory ADDR' shows it")),
    ("memory write", Of(Running, "")),
    ("memory history", Says("no sanitizer's records are read")),
    ("memory tag", Says("tags of memory are not read")),
    ("process status", Same("summary")),
    ("process info", Same("summary")),
    ("process plugin", Says(FILES)),
    ("process save-core", Says("'dumpscope collect -p PID' writes a dump of a live process")),
    (
        "process attach",
        Says("'dumpscope live -p PID' looks into a running process, which is stopped only while it is copied"),
    ),
    ("process", Of(Running, "'summary' tells what the process was")),
    ("disassemble", Says(CODE)),
    ("di", Says(CODE)),
    ("expression", Says(EXPRESSIONS)),
    ("parray", Says(EXPRESSIONS)),
    ("poarray", Says(EXPRESSIONS)),
    ("type", Says("types are not listed yet; 'stack -a' names those of arguments and variables")),
    (
        "source",
        Says(
            "source lines are shown in the terminal UI, where Enter opens a frame; '--source DIR' says where files are",
        ),
    ),
    ("breakpoint", Of(Running, "")),
    ("watchpoint", Of(Running, "")),
    ("sif", Of(Running, "")),
    ("command", Says(SCRIPTS)),
    ("script", Says(SCRIPTS)),
    ("language", Says("what is read of a language's runtime is named by 'summary'")),
    ("gui", Says("'dumpscope DUMP' opens the terminal UI")),
    ("gdb-remote", Says(FILES)),
    ("kdp-remote", Says(FILES)),
    ("platform", Says(FILES)),
    ("plugin", Says("nothing is loaded from outside; what can be read of this dump is named by 'summary'")),
    ("log", Says("'dumpscope --log FILE' writes what is done to a file")),
    ("reproducer", Says("'dumpscope --log FILE' writes what is done to a file")),
    ("session", Says("commands typed at the ':' prompt come back with Up")),
    ("history", Says("commands typed at the ':' prompt come back with Up")),
    ("settings", Says(SETTINGS)),
    ("env", Says("the environment of the process is not shown")),
    ("statistics", Says("'dumpscope --log FILE' writes how long each command took")),
    (
        "version",
        Says("'dumpscope --version' tells which this is; 'summary' names the runtimes of the process with theirs"),
    ),
];
