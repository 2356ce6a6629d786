//! Every key there is: one table, read by the input, the footer, the `?` overlay and `docs/keys.md`.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key or a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Next row.
    Down,
    /// Previous row.
    Up,
    /// Half a screen down.
    HalfDown,
    /// Half a screen up.
    HalfUp,
    /// A screen down.
    PageDown,
    /// A screen up.
    PageUp,
    /// First row.
    Top,
    /// Last row.
    Bottom,
    /// Open what the row is about.
    Open,
    /// To where one was.
    Back,
    /// Undo going back.
    Forward,
    /// To a pane by its number.
    Pane,
    /// To the next pane.
    NextPane,
    /// To the previous pane.
    PreviousPane,
    /// Type a filter.
    Filter,
    /// Type a command.
    Palette,
    /// Show the keys.
    Help,
    /// Choose what to copy.
    CopyMenu,
    /// Choose a column to sort by.
    SortMenu,
    /// Scroll the detail down.
    DetailDown,
    /// Scroll the detail up.
    DetailUp,
    /// Show or hide the detail.
    Detail,
    /// Fold the node, or go to its parent.
    Fold,
    /// Unfold the node, or go to its first child.
    Unfold,
    /// Fold every node.
    FoldAll,
    /// Unfold every node.
    UnfoldAll,
    /// To the address that the selected word holds.
    Follow,
    /// Let the mouse choose rows, or leave it to the terminal.
    Mouse,
    /// Draw the screen anew.
    Redraw,
    /// Stop and give the shell back.
    Suspend,
    /// One step out: overlay, filter, job, page.
    Escape,
    /// Cancel what runs; twice quits.
    Interrupt,
    /// Leave.
    Quit,
    /// Accept what was typed or chosen.
    Accept,
    /// Complete what was typed.
    Complete,
    /// Next suggestion.
    NextChoice,
    /// Previous suggestion.
    PreviousChoice,
    /// Delete the last letter.
    Erase,
    /// Delete the last word.
    EraseWord,
    /// Delete all that was typed.
    EraseAll,
    /// Copy the row's address.
    CopyAddress,
    /// Copy the row's name.
    CopyName,
    /// Copy the row.
    CopyRow,
    /// Copy the whole pane.
    CopyPane,
    /// Close the overlay.
    Close,
}

/// Where a key means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In every pane.
    Everywhere,
    /// Where there are rows under columns.
    Table,
    /// Where rows hang under rows.
    Tree,
    /// Where memory is shown.
    Memory,
    /// Where the selected row's detail is shown beside the list.
    Detail,
    /// While a filter is typed.
    Filter,
    /// While a command is typed.
    Palette,
    /// While the copy menu is open.
    Copy,
    /// While a column to sort by is chosen.
    Sort,
    /// While the keys are shown.
    Help,
}

impl Scope {
    /// Every scope, in the order of the documentation.
    pub const ALL: [Scope; 10] = [
        Scope::Everywhere,
        Scope::Table,
        Scope::Tree,
        Scope::Memory,
        Scope::Detail,
        Scope::Filter,
        Scope::Palette,
        Scope::Copy,
        Scope::Sort,
        Scope::Help,
    ];

    /// Heading of its keys.
    pub fn title(self) -> &'static str {
        match self {
            Scope::Everywhere => "Everywhere",
            Scope::Table => "Tables",
            Scope::Tree => "Trees",
            Scope::Memory => "Memory",
            Scope::Detail => "Detail of the selected row (below the locks; beside any list from 110 columns on)",
            Scope::Filter => "While typing a filter",
            Scope::Palette => "While typing a command",
            Scope::Copy => "Copy menu",
            Scope::Sort => "Sort menu",
            Scope::Help => "This help",
        }
    }
}

/// A key, with Ctrl or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    ctrl: bool,
}

const fn ch(c: char) -> Key {
    Key { code: KeyCode::Char(c), ctrl: false }
}

const fn ctrl(c: char) -> Key {
    Key { code: KeyCode::Char(c), ctrl: true }
}

const fn key(code: KeyCode) -> Key {
    Key { code, ctrl: false }
}

impl Key {
    /// The key of an event. Shift shows in the letter itself.
    pub fn of(event: &KeyEvent) -> Key {
        Key { code: event.code, ctrl: event.modifiers.contains(KeyModifiers::CONTROL) }
    }

    /// The digit from 1 that the key is.
    pub fn digit(self) -> Option<usize> {
        match self.code {
            KeyCode::Char(c) if !self.ctrl => c.to_digit(10).and_then(|digit| usize::try_from(digit).ok()),
            _ => None,
        }
    }

    /// The letter that the key types.
    pub fn letter(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if !self.ctrl => Some(c),
            _ => None,
        }
    }

    /// The name on the screen and in the documentation: `⏎`, `Ctrl-o`, `PgDn`.
    pub fn name(self) -> String {
        let name = match self.code {
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::Enter => "⏎".to_owned(),
            KeyCode::Esc => "Esc".to_owned(),
            KeyCode::Tab => "Tab".to_owned(),
            KeyCode::BackTab => "Shift-Tab".to_owned(),
            KeyCode::Backspace => "Backspace".to_owned(),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::Left => "←".to_owned(),
            KeyCode::Right => "→".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::Home => "Home".to_owned(),
            KeyCode::End => "End".to_owned(),
            KeyCode::F(number) => format!("F{number}"),
            _ => "?".to_owned(),
        };
        if self.ctrl { format!("Ctrl-{name}") } else { name }
    }
}

/// A line of the table.
#[derive(Debug)]
pub struct Binding {
    /// Where it means something.
    pub scope: Scope,
    /// The keys.
    pub keys: &'static [Key],
    /// What they do.
    pub action: Action,
    /// The same as a command at `:`; empty where it makes no sense there.
    pub command: &'static str,
    /// What the footer calls it.
    pub short: &'static str,
    /// What it does, for the overlay and the documentation.
    pub doc: &'static str,
    /// Place in the footer, 1 first; 0 is not shown there.
    pub rank: u8,
}

impl Binding {
    /// Its keys in words: `j ↓`, `1 … 9`.
    pub fn keys(&self) -> String {
        let names: Vec<String> = self.keys.iter().map(|key| key.name()).collect();
        match names.as_slice() {
            [first, .., last] if names.len() > 4 => format!("{first} … {last}"),
            names => names.join(" "),
        }
    }
}

const fn bind(
    scope: Scope,
    keys: &'static [Key],
    action: Action,
    command: &'static str,
    (rank, short): (u8, &'static str),
    doc: &'static str,
) -> Binding {
    Binding { scope, keys, action, command, short, doc, rank }
}

use Action as A;
use KeyCode as C;
use Scope as S;

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
    bind(S::Everywhere, &[key(C::Tab), ch(']')],               A::NextPane,     "next-pane", NO,            "Next pane"),
    bind(S::Everywhere, &[key(C::BackTab), ch('[')],           A::PreviousPane, "previous-pane", NO,        "Previous pane"),
    bind(S::Everywhere, &[ch('/')],                            A::Filter,       "filter",    (3, "filter"), "Filter the rows as you type"),
    bind(S::Everywhere, &[ch(':')],                            A::Palette,      "",          (5, "command"), "Any command, with completion"),
    bind(S::Everywhere, &[ch('?'), key(C::F(1))],              A::Help,         "keys",      (6, "keys"),   "The keys of this pane"),
    bind(S::Everywhere, &[ch('y')],                            A::CopyMenu,     "copy",      (8, "copy"),   "Copy address, name, row or pane to the clipboard"),
    bind(S::Everywhere, &[ch('m')],                            A::Mouse,        "mouse",     NO,            "Mouse on or off (off: the terminal selects text)"),
    bind(S::Everywhere, &[ctrl('l')],                          A::Redraw,       "redraw",    NO,            "Draw the screen anew"),
    bind(S::Everywhere, &[ctrl('z')],                          A::Suspend,      "",          NO,            "Suspend; `fg` comes back"),
    bind(S::Everywhere, &[key(C::Esc)],                        A::Escape,       "",          NO,            "One step out: clear the filter, stop the work, leave the page"),
    bind(S::Everywhere, &[ctrl('c')],                          A::Interrupt,    "cancel",    NO,            "Stop the work; twice quits"),
    bind(S::Everywhere, &[ch('q')],                            A::Quit,         "quit",      (9, "quit"),   "Quit"),

    bind(S::Table,      &[ch('s')],                            A::SortMenu,     "sort",      (4, "sort"),   "Sort by a column; the same again reverses"),

    bind(S::Tree,       &[ch('h'), key(C::Left)],              A::Fold,         "",          (2, "fold"),   "Fold the node, or go to its parent"),
    bind(S::Tree,       &[ch('l'), key(C::Right)],             A::Unfold,       "",          (2, "unfold"), "Unfold the node, or go to its first child"),
    bind(S::Tree,       &[ch('E')],                            A::UnfoldAll,    "unfold-all", NO,           "Unfold everything"),
    bind(S::Tree,       &[ch('C')],                            A::FoldAll,      "fold-all",  NO,            "Fold everything"),

    bind(S::Memory,     &[ch('f')],                            A::Follow,       "follow",    (2, "follow"), "Show the memory that the row's first word points to"),

    bind(S::Detail,     &[ch('J')],                            A::DetailDown,   "",          NO,            "Scroll the detail down"),
    bind(S::Detail,     &[ch('K')],                            A::DetailUp,     "",          NO,            "Scroll the detail up"),
    bind(S::Detail,     &[ch('d')],                            A::Detail,       "detail",    NO,            "Show or hide the detail"),

    bind(S::Filter,     &[key(C::Enter)],                      A::Accept,       "",          (1, "keep"),   "Keep the filter and go to the rows"),
    bind(S::Filter,     &[key(C::Esc), ctrl('c')],             A::Escape,       "",          (2, "clear"),  "Drop the filter"),
    bind(S::Filter,     &[key(C::Down), ctrl('n')],            A::Down,         "",          NO,            "Next row"),
    bind(S::Filter,     &[key(C::Up), ctrl('p')],              A::Up,           "",          NO,            "Previous row"),
    bind(S::Filter,     &[key(C::Backspace)],                  A::Erase,        "",          NO,            "Delete a letter"),
    bind(S::Filter,     &[ctrl('w')],                          A::EraseWord,    "",          NO,            "Delete a word"),
    bind(S::Filter,     &[ctrl('u')],                          A::EraseAll,     "",          NO,            "Delete everything"),

    bind(S::Palette,    &[key(C::Enter)],                      A::Accept,       "",          (1, "run"),    "Run what is typed, or the chosen suggestion"),
    bind(S::Palette,    &[key(C::Tab)],                        A::Complete,     "",          (2, "complete"), "Complete to the chosen suggestion"),
    bind(S::Palette,    &[key(C::Down), ctrl('n')],            A::NextChoice,   "",          (3, "next"),   "Next suggestion"),
    bind(S::Palette,    &[key(C::Up), ctrl('p')],              A::PreviousChoice, "",        NO,            "Previous suggestion"),
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

    bind(S::Help,       &[ch('j'), key(C::Down)],              A::Down,         "",          (1, "down"),   "Scroll down"),
    bind(S::Help,       &[ch('k'), key(C::Up)],                A::Up,           "",          (2, "up"),     "Scroll up"),
    bind(S::Help,       &[key(C::Esc), ch('q'), ch('?'), key(C::Enter), ctrl('c')], A::Close, "", (3, "close"), "Close"),
];

/// What a key does: the first of `scopes` (narrowest first) that knows it decides.
pub fn action(scopes: &[Scope], key: Key) -> Option<Action> {
    scopes.iter().find_map(|scope| {
        KEYMAP
            .iter()
            .find(|binding| binding.scope == *scope && binding.keys.contains(&key))
            .map(|binding| binding.action)
    })
}

/// The bindings that the footer shows, most important first.
pub fn footer(scopes: &[Scope]) -> Vec<&'static Binding> {
    let mut shown: Vec<&Binding> =
        KEYMAP.iter().filter(|binding| binding.rank > 0 && scopes.contains(&binding.scope)).collect();
    shown.sort_by_key(|binding| binding.rank);
    shown
}

/// `docs/keys.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Keys\n\nThis page is generated from the key table in `src/tui/keymap.rs`, which the program itself reads; \
         `?` shows the part\nof it that counts where you are. A name in the last column does the same at the `:` prompt.\n",
    );
    for scope in Scope::ALL {
        page.push_str(&format!("\n## {}\n\n| Keys | What they do | Command |\n| --- | --- | --- |\n", scope.title()));
        for binding in KEYMAP.iter().filter(|binding| binding.scope == scope) {
            let keys: Vec<String> = binding
                .keys()
                .split(' ')
                .map(|key| if key == "…" { key.to_owned() } else { format!("`{key}`") })
                .collect();
            let command = if binding.command.is_empty() { String::new() } else { format!("`{}`", binding.command) };
            page.push_str(&format!("| {} | {} | {command} |\n", keys.join(" "), binding.doc));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn within_a_scope_a_key_has_one_meaning() {
        for scope in Scope::ALL {
            let mut seen = HashSet::new();
            for key in KEYMAP.iter().filter(|binding| binding.scope == scope).flat_map(|binding| binding.keys) {
                assert!(seen.insert(*key), "{} twice in {scope:?}", key.name());
            }
        }
    }

    #[test]
    fn commands_are_unique() {
        let mut seen = HashSet::new();
        for binding in KEYMAP.iter().filter(|binding| !binding.command.is_empty()) {
            assert!(seen.insert(binding.command), "{}", binding.command);
        }
    }

    #[test]
    fn no_unmodified_key_of_a_pane_is_hidden_by_a_narrower_scope() {
        let everywhere: HashSet<Key> = KEYMAP
            .iter()
            .filter(|binding| binding.scope == S::Everywhere)
            .flat_map(|binding| binding.keys.iter().copied())
            .collect();
        for binding in
            KEYMAP.iter().filter(|binding| matches!(binding.scope, S::Table | S::Tree | S::Memory | S::Detail))
        {
            assert!(binding.keys.iter().all(|key| !everywhere.contains(key)), "{}", binding.doc);
        }
    }

    #[test]
    fn the_footer_names_what_it_shows() {
        for binding in KEYMAP {
            assert_eq!(binding.rank > 0, !binding.short.is_empty(), "{}", binding.doc);
        }
    }

    #[test]
    fn a_narrower_scope_is_asked_first() {
        let esc = key(KeyCode::Esc);
        assert_eq!(action(&[Scope::Copy, Scope::Everywhere], esc), Some(Action::Close));
        assert_eq!(action(&[Scope::Everywhere], esc), Some(Action::Escape));
        assert_eq!(action(&[Scope::Everywhere], ch('J')), None);
    }
}
