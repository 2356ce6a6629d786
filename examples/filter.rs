//! How long a filter over one table of a million rows takes, letter by letter, as in the terminal.
//!
//! `cargo run --profile profiling --example filter`, milliseconds a letter; the first also makes the texts that are searched.

use std::time::Instant;

use dumpscope::job::Job;
use dumpscope::model::{Subject, Tid};
use dumpscope::report::pattern::Pattern;
use dumpscope::report::section::{Cell, Column, Row, Table, Value};

const ROWS: u32 = 1_000_000;

fn main() -> Result<(), dumpscope::error::Error> {
    let row = |index: u32| {
        let name = Value::Function(format!("shop::Type{index}::method(std::vector<int> const&)").into());
        Row::about(Subject::Thread(Tid(index)), vec![Cell::new(Value::Count(u64::from(index))), Cell::new(name)])
    };
    let columns = vec![Column::right("Count"), Column::wide("Type", 1)];
    let table = Table::new(columns, (0..ROWS).map(row).collect());
    for typed in ["t", "ty", "ty7", "ty77", "ty77 me"] {
        let Some(pattern) = Pattern::parse(typed) else { continue };
        let start = Instant::now();
        let kept = table.rows.filter(&pattern, false, &Job::default())?;
        println!("{typed:8}  {:4} ms  {} rows", start.elapsed().as_millis(), kept.len());
    }
    Ok(())
}
