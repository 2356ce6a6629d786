//! Commands that answer no question: they select, change or end something.

use super::{Action, Command, Frame};
use crate::views::{Alias, Arg, Arity, Kind};

const NO_SERVERS: &str = "symbol servers are not asked yet; -directory DIR looks into a directory";

pub(super) const OTHERS: &[Command] = &[
    Command {
        name: "setthread",
        aliases: &[],
        doc: "Selects the thread that the next commands speak of; without arguments: says which is selected",
        args: &[
            Arg::Operand("index", Kind::Index, Arity::Optional, "the thread's position, as 'threads' counts from 0"),
            Arg::Value("t", Kind::Thread, "the thread's OS id"),
            Arg::Apart("index", &["t"]),
        ],
        help: "'thread N' and 't N' are gdb's and lldb's, which count from 1: 'thread 1' selects index 0.",
        action: Action::SetThread,
    },
    Command {
        name: "frame",
        aliases: &[Alias::of("f")],
        doc: "Selects a frame of the selected thread; without arguments: says which is selected",
        args: &[Arg::Operand("index", Kind::Count, Arity::Optional, "the frame's number, as 'stack' counts from 0")],
        help: "'stack -a -frame' shows its arguments and variables.",
        action: Action::Frame(Frame::Number),
    },
    Command {
        name: "up",
        aliases: &[],
        doc: "Selects the frame of the caller",
        args: &[Arg::Operand("count", Kind::Count, Arity::Optional, "how many frames further out (1 when not given)")],
        help: "",
        action: Action::Frame(Frame::Up),
    },
    Command {
        name: "down",
        aliases: &[],
        doc: "Selects the frame that the selected one called",
        args: &[Arg::Operand("count", Kind::Count, Arity::Optional, "how many frames further in (1 when not given)")],
        help: "",
        action: Action::Frame(Frame::Down),
    },
    Command {
        name: "setsymbolserver",
        aliases: &[],
        doc: "Where symbols come from, changed while running; without options: where is looked",
        args: &[
            Arg::Value("directory", Kind::Directory, "look for module and debug files there too"),
            Arg::Flag("disable", "forget the directories given so far"),
            Arg::Refused("ms", NO_SERVERS),
            Arg::Refused("debuginfod", NO_SERVERS),
            Arg::Refused("cache", NO_SERVERS),
        ],
        help: "",
        action: Action::SetSymbolServer,
    },
    Command {
        name: "refresh",
        aliases: &[Alias::of("recapture")],
        doc: "Captures the live process again; 'moved' says what changed",
        args: &[],
        help: "Stops the process, copies it and lets it go on, as 'live' did. The selected thread stays selected.",
        action: Action::Refresh,
    },
    Command {
        name: "help",
        aliases: &[Alias::of("soshelp"), Alias::of("h"), Alias::of("?")],
        doc: "Lists the commands; help NAME explains one",
        args: &[Arg::Operand("name", Kind::Command, Arity::Rest, "the command, also one of another tool: help eeheap")],
        help: "Options are written with one dash or two, in any case, and may be shortened: -all, --All and -al are the \
               same.\nAn address is hexadecimal, with or without 0x, the name of a symbol (g_orders, g_orders+0x8) or a \
               register ($rsp).\nNumbers are decimal, or hexadecimal behind 0x. A name is enough as long as no other \
               begins so: 'reg' is 'registers'.",
        action: Action::Help,
    },
    Command {
        name: "exit",
        aliases: &[Alias::of("quit"), Alias::of("q")],
        doc: "Ends the session",
        args: &[],
        help: "",
        action: Action::Exit,
    },
];
