//! Every key there is: one table, read by the input, the footer, the `?` overlay and `docs/keys.md`.

mod document;
mod key;
mod table;

pub use document::markdown;
pub use key::Key;
pub use table::{GRAMMAR, KEYMAP, MOUSE};

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
    /// Choose a pane.
    Panes,
    /// Arguments and local variables of every frame, or none.
    Locals,
    /// Where each frame stands, or not.
    ProgramCounters,
    /// Code further to the left.
    ScrollLeft,
    /// Code further to the right.
    ScrollRight,
    /// To the next pane.
    NextPane,
    /// To the previous pane.
    PreviousPane,
    /// Type a filter.
    Filter,
    /// To the next line that matches the filter that was typed last.
    NextMatch,
    /// To the previous one.
    PreviousMatch,
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
    /// To the next of what a heap is told by: in use, free, leaked.
    NextShelf,
    /// To the previous one.
    PreviousShelf,
    /// Types by namespace, or one by one.
    Group,
    /// Type the sizes of objects that count.
    Sizes,
    /// Type the dump to compare with.
    Diff,
    /// Why an object is alive.
    Roots,
    /// What refers to it.
    Referrers,
    /// What it refers to.
    References,
    /// What it keeps alive.
    Dominated,
    /// Mark it, or take its mark away.
    Mark,
    /// Choose a marked object.
    Marks,
    /// Write a dump of what the row is about.
    Collect,
    /// Ask for the list anew.
    Relist,
    /// To the address that the selected word holds.
    Follow,
    /// Let the mouse choose rows, or leave it to the terminal.
    Mouse,
    /// Capture the live process again.
    Recapture,
    /// What moved between captures of it.
    Moved,
    /// Draw the screen anew.
    Redraw,
    /// Stop and give the shell back.
    Suspend,
    /// One step out: overlay, filter, job, page.
    Escape,
    /// Cancel what runs; where nothing does, twice quits.
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
    /// Over a live process.
    Live,
    /// Where rows hang under rows.
    Tree,
    /// Where memory is shown.
    Memory,
    /// Where a stack is shown.
    Stack,
    /// Where objects of a heap are shown by type.
    Heap,
    /// Where an object of a heap is shown or selected.
    Object,
    /// Where lines of code are shown.
    Code,
    /// Where the selected row's detail is shown: below locks and exceptions, beside or below any list from 110 columns on.
    Detail,
    /// Where one of several things to open is chosen.
    Picker,
    /// While a filter is typed.
    Filter,
    /// While a command is typed.
    Palette,
    /// While the copy menu is open.
    Copy,
    /// While a column to sort by is chosen.
    Sort,
    /// While a pane is chosen.
    Panes,
    /// While a marked object is chosen.
    Marks,
    /// While the keys are shown.
    Help,
}

impl Scope {
    /// Every scope, in the order of the documentation.
    pub const ALL: [Scope; 18] = [
        Scope::Everywhere,
        Scope::Live,
        Scope::Table,
        Scope::Tree,
        Scope::Memory,
        Scope::Stack,
        Scope::Heap,
        Scope::Object,
        Scope::Code,
        Scope::Detail,
        Scope::Picker,
        Scope::Filter,
        Scope::Palette,
        Scope::Copy,
        Scope::Sort,
        Scope::Panes,
        Scope::Marks,
        Scope::Help,
    ];

    /// Heading of its keys.
    pub fn title(self) -> &'static str {
        match self {
            Scope::Everywhere => "Everywhere",
            Scope::Live => "Live process",
            Scope::Table => "Tables",
            Scope::Tree => "Trees",
            Scope::Memory => "Memory",
            Scope::Stack => "Stacks of threads",
            Scope::Heap => "Types of a heap",
            Scope::Object => "An object of a heap, selected or shown",
            Scope::Code => "Source code",
            Scope::Detail => "Detail of the selected row",
            Scope::Picker => "Processes to choose from",
            Scope::Filter => "While typing a filter",
            Scope::Palette => "While typing a command",
            Scope::Copy => "Copy menu",
            Scope::Sort => "Sort menu",
            Scope::Panes => "List of panes",
            Scope::Marks => "List of marked objects",
            Scope::Help => "This help",
        }
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

/// What a key does: the first of `scopes` (narrowest first) that knows it decides.
pub fn action(scopes: &[Scope], key: Key) -> Option<Action> {
    scopes.iter().find_map(|scope| {
        KEYMAP
            .iter()
            .find(|binding| binding.scope == *scope && binding.keys.contains(&key))
            .map(|binding| binding.action)
    })
}

/// The bindings of these scopes that a narrower one of them leaves a key.
pub fn reached(scopes: &[Scope]) -> impl Iterator<Item = &'static Binding> {
    let is_reached = |binding: &&Binding| {
        let does = |key: &Key| action(scopes, *key) == Some(binding.action);
        scopes.contains(&binding.scope) && binding.keys.iter().any(does)
    };
    KEYMAP.iter().filter(is_reached)
}

/// The bindings that the footer shows, most important first.
pub fn footer(scopes: &[Scope]) -> Vec<&'static Binding> {
    let mut shown: Vec<&Binding> = reached(scopes).filter(|binding| binding.rank > 0).collect();
    shown.sort_by_key(|binding| binding.rank);
    shown
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crossterm::event::KeyCode;

    use super::key::{ch, key};
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
            .filter(|binding| binding.scope == Scope::Everywhere)
            .flat_map(|binding| binding.keys.iter().copied())
            .collect();
        for binding in KEYMAP.iter().filter(|binding| {
            matches!(
                binding.scope,
                Scope::Live
                    | Scope::Table
                    | Scope::Tree
                    | Scope::Memory
                    | Scope::Stack
                    | Scope::Heap
                    | Scope::Object
                    | Scope::Code
                    | Scope::Detail
                    | Scope::Picker
            )
        }) {
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
