//! Answers and screens as they were when somebody last read them: every view as text and JSON, the terminal's panes at four sizes,
//! over real dumps. `BLESS=1` rewrites them (README.md).

mod answers;
mod dumps;
mod screens;
mod standing;
