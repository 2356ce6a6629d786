//! The tables themselves: every key and what it does, and what the mouse does.

use crossterm::event::KeyCode as C;

use super::key::{Key, ch, ctrl, key};
use super::{Action as A, Binding, Scope as S};

const fn bind(
    scope: S,
    keys: &'static [Key],
    action: A,
    command: &'static str,
    (rank, short): (u8, &'static str),
    doc: &'static str,
) -> Binding {
    Binding { scope, keys, action, command, short, doc, rank }
}

const NO: (u8, &str) = (0, "");
const DIGITS: [Key; 9] = [ch('1'), ch('2'), ch('3'), ch('4'), ch('5'), ch('6'), ch('7'), ch('8'), ch('9')];

/// The table. Within a scope a key stands once; a narrower scope wins over [`Scope::Everywhere`].
#[rustfmt::skip]
pub static KEYMAP: &[Binding] = &[
    bind(S::Everywhere, &[ch('j'), key(C::Down)],              A::Down,         "",          NO,            "Next row"),
    bind(S::Everywhere, &[ch('k'), key(C::Up)],                A::Up,           "",          NO,            "Previous row"),
    bind(S::Everywhere, &[ctrl('d')],                          A::HalfDown,     "",          NO,            "Half a screen down"),
    bind(S::Everywhere, &[ctrl('u')],                          A::HalfUp,       "",          NO,            "Half a screen up"),
    bind(S::Everywhere, &[ctrl('f'), key(C::PageDown), ch(' ')], A::PageDown,   "",          NO,            "A screen down"),
    bind(S::Everywhere, &[ctrl('b'), key(C::PageUp)],          A::PageUp,       "",          NO,            "A screen up"),
    bind(S::Everywhere, &[ch('g'), key(C::Home)],              A::Top,          "top",       NO,            "First row"),
    bind(S::Everywhere, &[ch('G'), key(C::End)],               A::Bottom,       "bottom",    NO,            "Last row"),
    bind(S::Everywhere, &[key(C::Enter)],                      A::Open,         "open",      (1, "open"),   "Open what the row is about"),
    bind(S::Everywhere, &[ch('H'), ctrl('o'), key(C::Backspace)], A::Back,      "back",      (7, "back"),   "Back to where you were, as it was"),
    bind(S::Everywhere, &[ch('L'), ctrl(']')],                 A::Forward,      "forward",   NO,            "Forward again"),
    bind(S::Everywhere, &DIGITS,                               A::Pane,         "",          NO,            "The pane of that number"),
    bind(S::Everywhere, &[ch('0')],                            A::Panes,        "panes",     NO,            "Choose a pane from a list"),
    bind(S::Everywhere, &[key(C::Tab), ch(']')],               A::NextPane,     "next-pane", NO,            "Next pane"),
    bind(S::Everywhere, &[key(C::BackTab), ch('[')],           A::PreviousPane, "previous-pane", NO,        "Previous pane"),
    bind(S::Everywhere, &[ch('/')],                            A::Filter,       "filter",    (3, "filter"), "Filter the rows as you type"),
    bind(S::Everywhere, &[ch('n')],                            A::NextMatch,    "",          NO,            "To the next line that matches what was typed after / last"),
    bind(S::Everywhere, &[ch('N')],                            A::PreviousMatch, "",         NO,            "To the previous line that matches it"),
    bind(S::Everywhere, &[ch(':')],                            A::Palette,      "",          (5, "command"), "Any command, with completion"),
    bind(S::Everywhere, &[ch('?'), key(C::F(1))],              A::Help,         "keys",      (6, "keys"),   "The keys of this pane"),
    bind(S::Everywhere, &[ch('y')],                            A::CopyMenu,     "copy",      (8, "copy"),   "Copy address, name, row or pane to the clipboard"),
    bind(S::Everywhere, &[ch('\'')],                           A::Marks,        "marks",     NO,            "Choose one of the objects that were marked"),
    bind(S::Everywhere, &[ch('m')],                            A::Mouse,        "mouse",     NO,            "Mouse on or off (off: the terminal selects text)"),
    bind(S::Everywhere, &[ctrl('l')],                          A::Redraw,       "redraw",    NO,            "Draw the screen anew"),
    bind(S::Everywhere, &[ctrl('z')],                          A::Suspend,      "",          NO,            "Suspend; `fg` comes back"),
    bind(S::Everywhere, &[key(C::Esc)],                        A::Escape,       "",          NO,            "One step out: clear the filter, stop the work, leave the page"),
    bind(S::Everywhere, &[ctrl('c')],                          A::Interrupt,    "cancel",    NO,            "Stop the work; where none runs, twice quits"),
    bind(S::Everywhere, &[ch('q')],                            A::Quit,         "quit",      (9, "quit"),   "Quit"),

    bind(S::Live,       &[ch('r')],                            A::Recapture,    "",          (2, "refresh"), "Capture the process again"),
    bind(S::Live,       &[ch('M')],                            A::Moved,        "",          (3, "moved"),  "Which threads moved since the capture before"),

    bind(S::Table,      &[ch('s')],                            A::SortMenu,     "sort",      (4, "sort"),   "Sort by a column; the same again reverses"),

    bind(S::Tree,       &[ch('h'), key(C::Left)],              A::Fold,         "",          (2, "fold"),   "Fold the node, or go to its parent"),
    bind(S::Tree,       &[ch('l'), key(C::Right)],             A::Unfold,       "",          (2, "unfold"), "Unfold the node, or go to its first child"),
    bind(S::Tree,       &[ch('E')],                            A::UnfoldAll,    "unfold-all", NO,           "Unfold everything"),
    bind(S::Tree,       &[ch('C')],                            A::FoldAll,      "fold-all",  NO,            "Fold everything"),

    bind(S::Memory,     &[ch('f')],                            A::Follow,       "follow",    (2, "follow"), "Show the memory that the row's first word points to"),

    bind(S::Stack,      &[ch('l')],                            A::Locals,       "locals",    (2, "locals"), "Arguments and local variables of every frame; again: without"),
    bind(S::Stack,      &[ch('p')],                            A::ProgramCounters, "pc",     (4, "pc"),     "Each frame's pc and offset; again: without"),

    bind(S::Heap,       &[ch('l'), key(C::Right)],             A::NextShelf,    "",          (2, "free, leaked"), "What is free, what leaked, what is in use: the next of them"),
    bind(S::Heap,       &[ch('h'), key(C::Left)],              A::PreviousShelf, "",         NO,            "The one before"),
    bind(S::Heap,       &[ch('p')],                            A::Group,        "group",     (5, "group"),  "The types of a namespace, package or module together; again: one by one"),
    bind(S::Heap,       &[ch('z')],                            A::Sizes,        "sizes",     (8, "sizes"),  "Only objects of at least (-min) or at most (-max) so many bytes"),
    bind(S::Heap,       &[ch('D')],                            A::Diff,         "",          (8, "diff"),   "What grew since another dump: names it"),

    bind(S::Object,     &[ch('r')],                            A::Roots,        "roots",     (2, "roots"),  "Why the object is alive: the way to it from a root"),
    bind(S::Object,     &[ch('R')],                            A::Referrers,    "",          (2, "who refers"), "What refers to it"),
    bind(S::Object,     &[ch('f')],                            A::References,   "",          (3, "refers to"), "What it refers to"),
    bind(S::Object,     &[ch('d')],                            A::Dominated,    "dominated", (2, "dominated"), "What it keeps alive: the objects that would go with it"),

    bind(S::Object,     &[ch('x')],                            A::Mark,         "mark",      (8, "mark"),   "Mark it, so that ' finds it again; again: take the mark away"),

    bind(S::Code,       &[ch('h'), key(C::Left)],              A::ScrollLeft,   "",          (2, "left"),   "Scroll the code to the left"),
    bind(S::Code,       &[ch('l'), key(C::Right)],             A::ScrollRight,  "",          (3, "right"),  "Scroll the code to the right"),

    bind(S::Detail,     &[ch('J')],                            A::DetailDown,   "",          NO,            "Scroll the detail down"),
    bind(S::Detail,     &[ch('K')],                            A::DetailUp,     "",          NO,            "Scroll the detail up"),
    bind(S::Detail,     &[ch('d')],                            A::Detail,       "detail",    NO,            "Show or hide the detail (lists have one from 110 columns on, beside them where they fit whole)"),

    bind(S::Picker,     &[ch('c')],                            A::Collect,      "",          (2, "collect"), "Leave, and write a dump of the process"),
    bind(S::Picker,     &[ch('r')],                            A::Relist,       "list",      (4, "list anew"), "List them anew"),

    bind(S::Filter,     &[key(C::Enter)],                      A::Accept,       "",          (1, "keep"),   "Keep the filter and go to the rows"),
    bind(S::Filter,     &[key(C::Esc), ctrl('c')],             A::Escape,       "",          (2, "clear"),  "Drop the filter"),
    bind(S::Filter,     &[key(C::Down), ctrl('n')],            A::Down,         "",          NO,            "Next row"),
    bind(S::Filter,     &[key(C::Up), ctrl('p')],              A::Up,           "",          NO,            "Previous row"),
    bind(S::Filter,     &[key(C::Backspace)],                  A::Erase,        "",          NO,            "Delete a letter"),
    bind(S::Filter,     &[ctrl('w')],                          A::EraseWord,    "",          NO,            "Delete a word"),
    bind(S::Filter,     &[ctrl('u')],                          A::EraseAll,     "",          NO,            "Delete everything"),

    bind(S::Palette,    &[key(C::Enter)],                      A::Accept,       "",          (1, "run"),    "Run what is typed (a name, an alias, or the start of one), or the chosen suggestion"),
    bind(S::Palette,    &[key(C::Tab)],                        A::Complete,     "",          (2, "complete"), "Complete to the chosen suggestion, else to the best"),
    bind(S::Palette,    &[key(C::Down), ctrl('n')],            A::NextChoice,   "",          (3, "next"),   "Next suggestion, or a later line of the history"),
    bind(S::Palette,    &[key(C::Up), ctrl('p')],              A::PreviousChoice, "",        NO,            "Previous suggestion; before the first, an earlier line of the history that begins so"),
    bind(S::Palette,    &[key(C::Esc), ctrl('c')],             A::Close,        "",          (4, "close"),  "Close"),
    bind(S::Palette,    &[key(C::Backspace)],                  A::Erase,        "",          NO,            "Delete a letter; in an empty line, close"),
    bind(S::Palette,    &[ctrl('w')],                          A::EraseWord,    "",          NO,            "Delete a word"),
    bind(S::Palette,    &[ctrl('u')],                          A::EraseAll,     "",          NO,            "Delete everything"),

    bind(S::Copy,       &[ch('a')],                            A::CopyAddress,  "copy-address", (1, "address"), "The row's address"),
    bind(S::Copy,       &[ch('n')],                            A::CopyName,     "copy-name", (2, "name"),   "The row's full name"),
    bind(S::Copy,       &[ch('r'), ch('y')],                   A::CopyRow,      "copy-row",  (3, "row"),    "The row, nothing cut"),
    bind(S::Copy,       &[ch('p')],                            A::CopyPane,     "copy-pane", (4, "pane"),   "Every row of the pane that the filter keeps"),
    bind(S::Copy,       &[key(C::Esc), ch('q'), ctrl('c')],    A::Close,        "",          (5, "close"),  "Close"),

    bind(S::Sort,       &[key(C::Down), ch('j')],              A::NextChoice,   "",          (1, "next"),   "Next column"),
    bind(S::Sort,       &[key(C::Up), ch('k')],                A::PreviousChoice, "",        NO,            "Previous column"),
    bind(S::Sort,       &DIGITS,                               A::Pane,         "",          NO,            "The column of that number"),
    bind(S::Sort,       &[key(C::Enter), ch('s')],             A::Accept,       "",          (2, "sort"),   "Sort by it; the same again reverses, a third time restores"),
    bind(S::Sort,       &[key(C::Esc), ch('q'), ctrl('c')],    A::Close,        "",          (3, "close"),  "Close"),

    bind(S::Panes,      &[key(C::Down), ch('j')],              A::NextChoice,   "",          (1, "next"),   "Next pane"),
    bind(S::Panes,      &[key(C::Up), ch('k')],                A::PreviousChoice, "",        NO,            "Previous pane"),
    bind(S::Panes,      &DIGITS,                               A::Pane,         "",          NO,            "The pane of that number"),
    bind(S::Panes,      &[key(C::Enter)],                      A::Accept,       "",          (2, "open"),   "Go there"),
    bind(S::Panes,      &[key(C::Esc), ch('q'), ch('0'), ctrl('c')], A::Close,  "",          (3, "close"),  "Close"),

    bind(S::Marks,      &[key(C::Down), ch('j')],              A::NextChoice,   "",          (1, "next"),   "Next object"),
    bind(S::Marks,      &[key(C::Up), ch('k')],                A::PreviousChoice, "",        NO,            "Previous object"),
    bind(S::Marks,      &DIGITS,                               A::Pane,         "",          NO,            "The object of that number"),
    bind(S::Marks,      &[key(C::Enter)],                      A::Accept,       "",          (2, "open"),   "Go there"),
    bind(S::Marks,      &[ch('x')],                            A::Erase,        "",          (3, "unmark"), "Take its mark away"),
    bind(S::Marks,      &[key(C::Esc), ch('q'), ch('\''), ctrl('c')], A::Close,  "",         (4, "close"),  "Close"),

    bind(S::Help,       &[ch('j'), key(C::Down)],              A::Down,         "",          (1, "down"),   "Scroll down"),
    bind(S::Help,       &[ch('k'), key(C::Up)],                A::Up,           "",          (2, "up"),     "Scroll up"),
    bind(S::Help,       &[key(C::Esc), ch('q'), ch('?'), key(C::Enter), ctrl('c')], A::Close, "", (3, "close"), "Close"),
];

/// What may be typed as a filter: words, meaning.
pub static GRAMMAR: &[(&str, &str)] = &[
    ("word", "Its letters in this order, others between them"),
    ("'word", "Exactly so"),
    ("^word", "At the beginning"),
    ("word$", "At the end"),
    ("!word", "Not at all"),
    ("one two", "Both; an upper-case letter makes case count"),
];

/// What the mouse does while it is on: gesture, meaning.
pub static MOUSE: &[(&str, &str)] = &[
    ("Click on a row", "Select it; on the selected row: open it"),
    ("Click on a heading", "Sort by the column; the same again reverses, a third time restores"),
    ("Click on a pane's name", "Open the pane"),
    ("Click on what a heap is told by", "Show what is in use, what is free, what leaked"),
    ("Click on a key of the last line", "Press it"),
    ("Wheel", "Scroll what is under the pointer: list, detail, keys"),
];
