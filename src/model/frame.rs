//! Frames of a stack: as walked (physical) and as named (logical, inlined calls expanded).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Addr, Recorder, Recovered, Registers};

/// How a frame was found; the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The registers that the dump (or a signal frame) recorded.
    Context,
    /// Call frame information of the module.
    Cfi,
    /// The chain of saved frame pointers.
    FramePointer,
    /// A word on the stack that follows a call instruction.
    Scan,
    /// A managed runtime's own unwinding.
    Runtime,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FrameKind {
    /// Compiled code.
    Native,
    /// A call that the compiler expanded in place; shares `pc` with the physical frame that follows.
    Inline,
    /// Code of a managed runtime.
    Managed,
    /// The trampoline that the kernel made a signal handler return to.
    Signal,
    /// A stub through which a module calls another (a PLT entry), a runtime's transition frame.
    Stub,
}

/// One physical frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The instruction pointer, or the return address as stored. Look names up at [`Frame::lookup`].
    pub pc: Addr,
    /// Whether `pc` is a return address (one past the call) and not an interrupted instruction.
    pub returns: bool,
    /// The stack pointer while in the frame: the callee's CFA.
    pub sp: Addr,
    /// The canonical frame address (the caller's sp), where it is known.
    pub cfa: Option<Addr>,
    /// Native or signal; inlined calls and stubs appear only among named frames.
    pub kind: FrameKind,
    /// How it was found.
    pub trust: Trust,
}

impl Frame {
    /// The address at which the frame's function, line and CFI are looked up: inside the call instruction for a return
    /// address, the instruction itself otherwise.
    pub fn lookup(&self) -> Addr {
        if self.returns { Addr(self.pc.0.saturating_sub(1)) } else { self.pc }
    }
}

/// Why a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The thread's first function: the return address is undefined or zero.
    Bottom,
    /// The next word of the stack is not in the dump.
    NoMemory,
    /// Neither unwind information nor a plausible guess.
    NoUnwindInfo,
    /// The stack pointer stopped rising.
    Loop,
    /// As many frames as are kept.
    Limit,
}

/// A walked stack.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Innermost first. Empty only when `end` explains why.
    pub frames: Vec<Frame>,
    /// The registers in each frame: [`Stack::registers_at`].
    pub registers: Recovered,
    /// Why there are no more.
    pub end: End,
}

impl Stack {
    /// A stack of which nothing but the frames is known.
    pub fn without_registers(frames: Vec<Frame>, end: End) -> Stack {
        Stack { frames, registers: Recovered::default(), end }
    }

    /// The registers in frame `index`, those that were not recovered unknown. `None` where none are known, and past the
    /// last frame.
    pub fn registers_at(&self, index: usize) -> Option<Registers> {
        let frame = self.frames.get(index)?;
        self.registers.at(index, frame.sp, frame.pc)
    }

    /// The registers in one frame after the other, innermost first; ends where [`Stack::registers_at`] has none.
    pub fn each_registers(&self) -> impl Iterator<Item = Registers> {
        self.registers.iter(self.frames.iter().map(|frame| (frame.sp, frame.pc)))
    }

    /// The stack from the frame at `index` on; without frames past the last one.
    pub fn from_frame(&self, index: usize) -> Stack {
        let frames = self.frames.get(index..).unwrap_or_default().to_vec();
        let mut recorder = Recorder::default();
        self.each_registers().skip(index).for_each(|registers| recorder.add(&registers));
        Stack { frames, registers: recorder.finish(), end: self.end }
    }

    /// The first `kept` frames, and above them those of another stack.
    pub fn joined(&self, kept: usize, outer: &Stack) -> Stack {
        let frames = self.frames.iter().take(kept).chain(&outer.frames).cloned().collect();
        let mut recorder = Recorder::default();
        let inner = self.each_registers().take(kept);
        // Without those of a frame between, those above would be taken for its.
        let has_all = self.registers.len() >= kept.min(self.frames.len());
        inner.chain(outer.each_registers().filter(|_| has_all)).for_each(|registers| recorder.add(&registers));
        Stack { frames, registers: recorder.finish(), end: outer.end }
    }
}

/// One frame as shown: an inlined call, or the physical frame that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NamedFrame {
    /// Position in the named stack, innermost 0.
    pub index: usize,
    /// Instruction pointer, or return address as stored.
    pub pc: Addr,
    /// Stack pointer while in the frame.
    pub sp: Addr,
    /// Native, inline, signal, stub …
    pub kind: FrameKind,
    /// How the physical frame was found.
    pub trust: Trust,
    /// File name of the module, `libc.so.6`; null outside all modules.
    pub module: Option<Arc<str>>,
    /// Full demangled name with its scope; null when no symbol covers the address.
    pub function: Option<Arc<str>>,
    /// Bytes from the start of `function` to `pc`; null for inlined calls and unnamed frames.
    pub offset: Option<u64>,
    /// Source file as the compiler recorded it.
    pub file: Option<Arc<str>>,
    /// Line in `file`, from 1.
    pub line: Option<u32>,
    /// Whether `line` is that of the method's beginning, since its code here was made of no instruction in particular. Left out where it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approximate: bool,
    /// Whether it is the program's own code, and not a runtime's.
    #[serde(skip)]
    pub own: bool,
    /// Position among the walked frames that were named of the one that it is, or is a part of.
    #[serde(skip)]
    pub walked: usize,
    /// Position among the calls that debug information expands in that frame, innermost 0; `None` where a runtime
    /// named it.
    #[serde(skip)]
    pub part: Option<usize>,
}

/// A function's own name with its scope: without return type, parameters and qualifiers. Those of a function that is
/// itself the scope, of a lambda, say, stay: `f(int)::{lambda()#1}::operator()`.
pub fn path(name: &str) -> &str {
    let mut depth = 0usize;
    let mut begin = 0;
    let mut seen = 0;
    for (at, letter) in name.char_indices() {
        if at < seen {
            continue;
        }
        match letter {
            '(' if name.get(begin..at).is_some_and(|head| head.ends_with("operator")) => {
                seen = at.saturating_add("()".len());
            }
            // A receiver of Go's, `main.(*order).price`: part of the scope.
            '(' if depth == 0 && name.get(begin..at).is_some_and(|head| head.ends_with('.')) => {
                match name.get(at..).and_then(|rest| rest.find(')')) {
                    Some(close) => seen = at.saturating_add(close),
                    None => return name.get(begin..).unwrap_or(name),
                }
            }
            // `operator<` and its kind end the path anyway.
            '<' if name.get(begin..at).is_some_and(|head| head.ends_with("operator")) => {
                return name.get(begin..).unwrap_or(name);
            }
            // Parameters: the first parenthesis outside all brackets, unless it is `(anonymous namespace)`.
            '(' if depth == 0 && !name.get(at..).is_some_and(|rest| rest.starts_with("(anonymous")) => {
                match scope_behind(name, at) {
                    Some(scope) => seen = scope,
                    None => return name.get(begin..at).filter(|path| !path.is_empty()).unwrap_or(name),
                }
            }
            '(' | '<' | '[' | '{' => depth = depth.saturating_add(1),
            // `fn() -> u64` has an arrow, not a bracket.
            '>' if name.get(..at).is_some_and(|head| head.ends_with('-')) => {}
            ')' | '>' | ']' | '}' => depth = depth.saturating_sub(1),
            // `operator new` and conversions are one name.
            ' ' if depth == 0 && !name.get(begin..at).is_some_and(|head| head.ends_with("operator")) => {
                begin = at.saturating_add(1);
            }
            _ => {}
        }
    }
    name.get(begin..).unwrap_or(name)
}

/// What may stand between a function's parameters and what is local to it. Source: Itanium C++ ABI 5.1.5, "Scope
/// Encoding", and 5.1.5.3, as c++filt spells them.
const QUALIFIERS: [&str; 4] = [" const", " volatile", " &&", " &"];

/// Where the `::` is that follows the parameters that begin at `open`; `None` where none does.
fn scope_behind(name: &str, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    let closed = name.get(open..)?.char_indices().find_map(|(at, letter)| {
        match letter {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        (depth == 0).then(|| open.checked_add(at)?.checked_add(1))
    })??;
    let mut rest = name.get(closed..)?;
    while let Some(behind) = QUALIFIERS.iter().find_map(|qualifier| rest.strip_prefix(qualifier)) {
        rest = behind;
    }
    rest.starts_with("::").then(|| name.len().checked_sub(rest.len()))?
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn a_path_has_neither_return_type_nor_parameters() {
        assert_eq!(path("pool::run(int, char const*)"), "pool::run");
        assert_eq!(path("void hold_mutex<1>(Lock<(Kind)2>&, int)"), "hold_mutex<1>");
        assert_eq!(path("shop::Pool<shop::Order>::take()"), "shop::Pool<shop::Order>::take");
        assert_eq!(path("(anonymous namespace)::worker(void*)"), "(anonymous namespace)::worker");
        assert_eq!(path("main::{lambda(int)#1}::operator()(int) const"), "main::{lambda(int)#1}::operator()");
        assert_eq!(path("void run(void*)::{lambda()#1}::operator()() const"), "run(void*)::{lambda()#1}::operator()");
        assert_eq!(
            path("main::{lambda()#2}::operator()() const::{lambda(int, void*)#1}::_FUN(int, void*)"),
            "main::{lambda()#2}::operator()() const::{lambda(int, void*)#1}::_FUN"
        );
        assert_eq!(path("run(int) const &::step"), "run(int) const &::step");
        assert_eq!(path("run(int"), "run");
        assert_eq!(path("<app::Job as app::Run>::run"), "<app::Job as app::Run>::run");
        assert_eq!(path("app::spawn::<fn(&str) -> u64>::{closure#1}"), "app::spawn::<fn(&str) -> u64>::{closure#1}");
        assert_eq!(path("operator new(unsigned long)"), "operator new");
        assert_eq!(path("main.(*order).price"), "main.(*order).price");
        assert_eq!(path("example.org/shop.(*Shelf[...]).Take.func1"), "example.org/shop.(*Shelf[...]).Take.func1");
        assert_eq!(path("main.(*order"), "main.(*order");
        assert_eq!(path("worker"), "worker");
    }
}
