//! Draws the pictures of the README: the program's own screen over the demo, cell by cell, as SVG.
//!
//! `cargo run --example screens` writes docs/screens/.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use dumpscope::job::Job;
use dumpscope::target::Search;
use dumpscope::tui::event::Question;
use dumpscope::tui::look::{Background, Depth, Look};
use dumpscope::tui::stage::Stage;
use dumpscope::tui::worker;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// Columns and rows of the pictures.
const SIZE: (u16, u16) = (100, 28);
/// A cell's size in pixels.
const CELL: (u32, u32) = (9, 19);
const MARGIN: u32 = 14;
const BACKGROUND: &str = "#1b1f24";
const FOREGROUND: &str = "#d5dae0";

/// Pictures: name, and the keys that lead to them.
const PICTURES: [(&str, &str); 5] =
    [("summary", ""), ("threads", "2"), ("stacks", "3j"), ("locks", "4"), ("heap", "6")];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let session = Arc::new(dumpscope::demo::open(&Search::default(), &Job::default())?);
    let slot = Mutex::new(Some(Arc::clone(&session)));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screens");
    std::fs::create_dir_all(&folder)?;
    for (name, keys) in PICTURES {
        let answer = |question: &Question, job: &Job| {
            worker::caught(|| worker::answer(Arc::clone(&session), question.clone(), job, &slot))
        };
        let look = Look { depth: Depth::True, ascii: false, background: Background::Dark };
        let mut stage = Stage::new(look, SIZE, worker::describe(&session), Box::new(answer));
        std::fs::write(folder.join(format!("{name}.svg")), picture(stage.press(keys).buffer())?)?;
    }
    Ok(())
}

fn picture(buffer: &Buffer) -> Result<String, std::fmt::Error> {
    let (columns, rows) = (u32::from(buffer.area.width), u32::from(buffer.area.height));
    let (width, height) = (columns * CELL.0 + 2 * MARGIN, rows * CELL.1 + 2 * MARGIN);
    let mut svg = String::new();
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"15\">"
    )?;
    writeln!(svg, "<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>")?;
    for y in 0..buffer.area.height {
        let mut x = 0;
        while x < buffer.area.width {
            let first = &buffer[(x, y)];
            let mut text = String::new();
            let start = x;
            while x < buffer.area.width && looks_as(first, &buffer[(x, y)]) {
                text.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            run(&mut svg, (start, y), u32::from(x - start), first, &text)?;
        }
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn looks_as(a: &Cell, b: &Cell) -> bool {
    (a.fg, a.bg, a.modifier) == (b.fg, b.bg, b.modifier)
}

/// Cells that look alike, as one text stretched to their width, whatever font is at hand.
fn run(svg: &mut String, (x, y): (u16, u16), columns: u32, cell: &Cell, text: &str) -> std::fmt::Result {
    let (left, top) = (MARGIN + u32::from(x) * CELL.0, MARGIN + u32::from(y) * CELL.1);
    let width = columns * CELL.0;
    if cell.bg != Color::Reset {
        let fill = color(cell.bg, BACKGROUND);
        writeln!(svg, "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{}\" fill=\"{fill}\"/>", CELL.1)?;
    }
    if text.trim().is_empty() {
        return Ok(());
    }
    let weight = if cell.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let fill = color(cell.fg, FOREGROUND);
    let base = top + CELL.1 - 5;
    writeln!(
        svg,
        "<text x=\"{left}\" y=\"{base}\" textLength=\"{width}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\" \
         fill=\"{fill}\"{weight}>{text}</text>"
    )
}

fn color(color: Color, otherwise: &str) -> String {
    match color {
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
        Color::Indexed(index) => indexed(index),
        _ => otherwise.to_owned(),
    }
}

/// A colour of the 256 that terminals share. Source: xterm's 256colres.h: a cube of six levels, then 24 greys.
fn indexed(index: u8) -> String {
    let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * u32::from(step) };
    let (red, green, blue) = match index {
        232.. => {
            let grey = 8 + 10 * u32::from(index - 232);
            (grey, grey, grey)
        }
        16.. => {
            let cube = index - 16;
            (level(cube / 36), level(cube / 6 % 6), level(cube % 6))
        }
        _ => (213, 218, 224),
    };
    format!("#{red:02x}{green:02x}{blue:02x}")
}
