//! `dumpscope ps`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::reading::{Color, Reading};
use super::{complain, printed};
use crate::error::Error;
use crate::job::Job;
use crate::processes;
use crate::report::json::Envelope;
use crate::report::text::{self, Style};
use crate::views::Answer;
use crate::views::ps::{NAME, Order, answer};

/// What is listed, and how.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Also those that may not be dumped, and why
    #[arg(short = 'a', long)]
    all: bool,
    /// What the list is sorted by
    #[arg(long, value_enum, default_value_t = Sort::Rss, value_name = "COLUMN")]
    sort: Sort,
    /// Whole lines, wider than the terminal
    #[arg(short = 'w', long)]
    wide: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// Colours [default: auto]
    #[arg(long, value_enum, value_name = "WHEN")]
    color: Option<Color>,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Rss,
    Pid,
    Age,
    Threads,
    Name,
}

impl Sort {
    fn order(self) -> Order {
        match self {
            Sort::Rss => Order::Rss,
            Sort::Pid => Order::Pid,
            Sort::Age => Order::Age,
            Sort::Threads => Order::Threads,
            Sort::Name => Order::Name,
        }
    }
}

/// Lists the processes. `before`: options that stood before the subcommand.
pub(super) fn run(arguments: &Arguments, before: Reading) -> Result<ExitCode, Error> {
    let json = arguments.json || before.json;
    let found = match processes::list(&Job::default()) {
        Ok(found) => found,
        Err(error) => {
            if json {
                printed(|out, job| Envelope::new(out, job).error(NAME, &error, &[]))?;
            }
            return Err(error);
        }
    };
    let answer = answer(found, arguments.all, arguments.sort.order());
    if json {
        let data = |out: &mut dyn std::io::Write, job: &Job| answer.write_json(out, job);
        printed(|out, job| Envelope::new(out, job).data(NAME, &data, answer.problems()))?;
    } else {
        let fitted = before.colored(arguments.color).style();
        let style = Style { width: fitted.width.filter(|_| !arguments.wide), ..fitted };
        printed(|out, job| text::print(&answer.section(), style, out, job))?;
        for problem in answer.problems() {
            complain("warning", &problem.to_string());
        }
    }
    Ok(ExitCode::SUCCESS)
}
