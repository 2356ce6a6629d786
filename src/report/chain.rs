//! Who waits for whom, drawn with lines. It reads downwards and stays narrow, so that it fits beside a list.

use unicode_width::UnicodeWidthStr;

use super::cell::{Cell, Row, Tone, Value};
use super::words::{Room, words};

/// Who waits for whom, in order: each waits for what the next holds; from `cycle` on the last waits for the first of them again.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// The threads, each with what it does.
    pub links: Vec<Link>,
    /// Position of the first that is part of a cycle.
    pub cycle: Option<usize>,
    /// Threads behind the last that are left out.
    pub more: usize,
    /// Whether two threads that wait for each other may be drawn side by side.
    pub beside: bool,
}

/// A thread of a chain, or several that do the same.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// The threads: their name, and where they hold something the word for it and the lock.
    pub who: Vec<Row>,
    /// Where it took what it holds.
    pub taken: Option<Row>,
    /// What it waits for: the word for it, and the lock where it is one.
    pub wants: Option<Row>,
    /// Where it waits.
    pub waits: Option<Row>,
}

/// A line of a drawing.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The lines before its words; empty where the words are a drawing themselves.
    pub margin: &'static str,
    /// The same where the words go on in the next line.
    pub further: &'static str,
    /// Its words, and what it is about.
    pub row: Row,
    /// Whether it means nothing once it is broken: what does not fit is cut off.
    pub whole: bool,
}

/// The lines of a drawing.
struct Signs {
    free: &'static str,
    begins: &'static str,
    inside: &'static str,
    ends: &'static str,
    wish: [&'static str; 2],
    note: [&'static str; 2],
    holds: &'static str,
    wants: &'static str,
    below: &'static str,
    back: &'static str,
    line: &'static str,
    corner: &'static str,
    more: &'static str,
}

const LINES: Signs = Signs {
    free: "     ",
    begins: "  ┌▶ ",
    inside: "  │  ",
    ends: "  └────┘",
    wish: ["       ▼ ", "  │    ▼ "],
    note: ["         ", "  │      "],
    holds: " ─ holds ─▶ ",
    wants: " ◀─ wants ─ ",
    below: "     └─ wants ─▶ ",
    back: " ◀─ holds ─",
    line: "─",
    corner: "┘",
    more: "…",
};

const ASCII: Signs = Signs {
    free: "     ",
    begins: "  +> ",
    inside: "  |  ",
    ends: "  +----+",
    wish: ["       v ", "  |    v "],
    note: ["         ", "  |      "],
    holds: " - holds -> ",
    wants: " <- wants - ",
    below: "     +- wants -> ",
    back: " <- holds -",
    line: "-",
    corner: "+",
    more: "...",
};

/// Columns of the smallest screen that a drawing of two threads side by side may take.
const NARROW: usize = 58;

impl Chain {
    /// The drawing, line by line: as many lines whatever the signs.
    ///
    /// ```text
    ///   ┌▶ worker-3 4719 holds g_orders            19 threads 4724 4725 4726 …
    ///   │      taken in place orders.cpp:77           ▼ want g_pool_mu
    ///   │    ▼ wants g_stock                       main 4711 holds g_pool_mu
    ///   │  worker-7 4723 holds g_stock                ▼ reads fd 7
    ///   │    ▼ wants g_orders
    ///   └────┘
    /// ```
    pub fn drawn(&self, ascii: bool) -> Vec<Drawn> {
        let signs = if ascii { &ASCII } else { &LINES };
        if let Some(pair) = self.pair() {
            return pair.drawn(signs);
        }
        let mut lines = Vec::new();
        let mut push = |margin, further, row: &Row| {
            lines.push(Drawn { margin, further, row: row.clone(), whole: false });
        };
        let inside = |index: usize| self.cycle.is_some_and(|cycle| index >= cycle);
        for (index, link) in self.links.iter().enumerate() {
            let at = usize::from(inside(index));
            let further = signs.note.get(at).copied().unwrap_or_default();
            let wish = signs.wish.get(at).copied().unwrap_or_default();
            for who in &link.who {
                let margin = match self.cycle {
                    Some(cycle) if index == cycle => signs.begins,
                    Some(cycle) if index > cycle => signs.inside,
                    _ => signs.free,
                };
                push(margin, further, who);
            }
            link.taken.iter().for_each(|row| push(further, further, row));
            link.wants.iter().for_each(|row| push(wish, further, row));
            link.waits.iter().for_each(|row| push(further, further, row));
        }
        if self.more > 0 {
            let further = signs.note.get(usize::from(self.cycle.is_some())).copied().unwrap_or_default();
            let threads = if self.more == 1 { "thread" } else { "threads" };
            push(further, further, &Row::text(format!("{} {} more {threads}", signs.more, self.more)));
        }
        if self.cycle.is_some() {
            push(signs.ends, "", &Row::default());
        }
        lines
    }

    /// Two threads, each of which holds what the other wants, where the names are short enough to stand side by side.
    fn pair(&self) -> Option<Pair<'_>> {
        let (true, Some(0), [one, other]) = (self.beside, self.cycle, self.links.as_slice()) else { return None };
        let named = |link: &Link| matches!((link.who.as_slice(), &link.wants), ([who], Some(wants)) if who.cells.len() == 3 && wants.cells.len() == 2);
        let pair = (named(one) && named(other)).then_some(Pair { one, other })?;
        let wide = pair.lines(&LINES).iter().map(|line| line.width()).max().unwrap_or(0);
        (wide <= NARROW).then_some(pair)
    }
}

struct Pair<'a> {
    one: &'a Link,
    other: &'a Link,
}

impl Pair<'_> {
    /// ```text
    ///      worker-3 4719 ─ holds ─▶ g_orders ◀─ wants ─ worker-7 4723
    ///           └─ wants ─▶ g_stock ◀─ holds ───────────────┘
    /// ```
    fn lines(&self, signs: &Signs) -> [String; 2] {
        let text = |row: Option<&Row>, at: usize| {
            let cell = row.and_then(|row| row.cells.get(at));
            cell.map(|cell| words(&cell.value, Room::Sentence).into_owned()).unwrap_or_default()
        };
        let (one, other) = (self.one.who.first(), self.other.who.first());
        let left = format!("{}{}{}{}", text(one, 0), signs.holds, text(one, 2), signs.wants);
        let below = format!("{}{}{}", signs.below, text(other, 2), signs.back);
        // The corner stands below the second thread's name, or after the line where that is longer.
        let corner = left.width().saturating_add(5).max(below.width());
        let missing = corner.saturating_sub(below.width());
        [
            format!("     {left}{}", text(other, 0)),
            format!("     {below}{}{}", signs.line.repeat(missing), signs.corner),
        ]
    }

    fn drawn(&self, signs: &Signs) -> Vec<Drawn> {
        let blank = || Drawn { margin: "", further: "", row: Row::text(""), whole: true };
        let [upper, lower] = self.lines(signs);
        let line = |link: &Link, text: String| {
            let cells = vec![Cell::new(Value::Text(text.into())).tone(Tone::Link)];
            let row = Row { cells, subject: link.who.first().and_then(|who| who.subject) };
            Drawn { margin: "", further: "", row, whole: true }
        };
        vec![blank(), line(self.one, upper), line(self.other, lower), blank()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(thread: &str, holds: &str, wants: &str) -> Link {
        Link {
            who: vec![Row::new(vec![Cell::text(thread), Cell::text("holds"), Cell::text(holds)])],
            wants: Some(Row::new(vec![Cell::text("wants"), Cell::text(wants)])),
            ..Link::default()
        }
    }

    fn seen(chain: &Chain, ascii: bool) -> Vec<String> {
        let line = |line: &Drawn| {
            let cells: Vec<_> = line.row.cells.iter().map(|cell| words(&cell.value, Room::Sentence)).collect();
            format!("{}{}", line.margin, cells.join(" ")).trim_end().to_owned()
        };
        chain.drawn(ascii).iter().map(line).collect()
    }

    fn cycle() -> Chain {
        let links = vec![link("a", "x", "y"), link("b", "y", "x")];
        Chain { links, cycle: Some(0), ..Chain::default() }
    }

    #[test]
    fn a_cycle_is_drawn_downwards_and_closed() {
        let lines = ["  ┌▶ a holds x", "  │    ▼ wants y", "  │  b holds y", "  │    ▼ wants x", "  └────┘"];
        assert_eq!(seen(&cycle(), false), lines);
        let ascii = ["  +> a holds x", "  |    v wants y", "  |  b holds y", "  |    v wants x", "  +----+"];
        assert_eq!(seen(&cycle(), true), ascii);
    }

    #[test]
    fn who_waits_for_a_cycle_stands_before_it() {
        let waiting = Link {
            who: vec![Row::text("c")],
            wants: Some(Row::text("wants x")),
            waits: Some(Row::text("in f")),
            ..Link::default()
        };
        let chain = Chain { links: vec![waiting, link("a", "x", "x")], cycle: Some(1), more: 1, beside: false };
        let lines = [
            "     c",
            "       ▼ wants x",
            "         in f",
            "  ┌▶ a holds x",
            "  │    ▼ wants x",
            "  │      … 1 more thread",
            "  └────┘",
        ];
        assert_eq!(seen(&chain, false), lines);
    }

    #[test]
    fn two_with_short_names_stand_side_by_side() {
        let chain = Chain { beside: true, ..cycle() };
        let lines = ["", "     a ─ holds ─▶ x ◀─ wants ─ b", "          └─ wants ─▶ y ◀─ holds ───┘", ""];
        assert_eq!(seen(&chain, false), lines);
        let long = "a_name_that_leaves_no_room_for_another";
        let links = vec![link(long, "x", "y"), link(long, "y", "x")];
        assert_eq!(seen(&Chain { links, ..chain }, false).len(), 5);
    }

    #[test]
    fn signs_do_not_change_the_number_of_lines() {
        for chain in [cycle(), Chain { beside: true, ..cycle() }] {
            assert_eq!(chain.drawn(false).len(), chain.drawn(true).len());
        }
    }
}
