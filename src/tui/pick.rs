//! One of several things to open, chosen in the terminal: a list with filter, sort and mouse as everywhere, then the dump in
//! the same screen.
//!
//! The list is a section whose first table has a row for each item. Enter opens an item here, `c` leaves with it, `r` lists
//! anew.

use std::sync::{Arc, Mutex, PoisonError};

use super::history::History;
use super::keymap::Action;
use super::worker::List;
use super::{Opening, Start, run};
use crate::error::Error;
use crate::job::Job;
use crate::log::Log;
use crate::report::section::Section;
use crate::settings::Settings;

/// What becomes of a chosen row.
pub(super) enum Chosen {
    /// It is opened, under this name.
    Open(String, Opening),
    /// The screen is left; the caller goes on with it.
    Leave,
    /// It cannot be chosen, for this reason.
    Refused(String),
}

/// Says what becomes of a row.
pub(super) type Choose = Box<dyn FnMut(Action, usize) -> Chosen>;

/// What there is to choose from.
pub struct Listed<T> {
    /// Its first table has a row for each item.
    pub section: Section,
    /// The items, parallel to the rows; `Err` is why one cannot be chosen.
    pub items: Vec<Result<T, String>>,
}

/// Lists things to open, under a job.
pub type Lister<T> = Box<dyn Fn(&Job) -> Result<Listed<T>, Error> + Send + Sync>;

/// What the first line calls an item while it is opened, and how it is opened.
pub type Opener<T> = Box<dyn Fn(&T) -> (String, Opening)>;

/// A list of things to open.
pub struct Picker<T> {
    /// What they are: `Processes`.
    pub title: &'static str,
    /// Lists them; asked again by `r`.
    pub list: Lister<T>,
    /// Opens one.
    pub open: Opener<T>,
}

/// Lets the user choose, and browses what was chosen until the user leaves. The item with which the screen was left to be
/// written to a dump; `None` in all other cases.
pub fn pick<T: Clone + Send + 'static>(picker: Picker<T>, settings: &Settings, log: Log) -> Result<Option<T>, Error> {
    let items: Arc<Mutex<Vec<Result<T, String>>>> = Arc::default();
    let left: Arc<Mutex<Option<T>>> = Arc::default();
    let Picker { title, list, open } = picker;
    let listed = Arc::clone(&items);
    let list: List = Arc::new(move |job| {
        let Listed { section, items } = list(job)?;
        *listed.lock().unwrap_or_else(PoisonError::into_inner) = items;
        Ok(section)
    });
    let leaving = Arc::clone(&left);
    let choose: Choose = Box::new(move |action, row| {
        let item = items.lock().unwrap_or_else(PoisonError::into_inner).get(row).cloned();
        match (item, action) {
            (Some(Ok(item)), Action::Collect) => {
                *leaving.lock().unwrap_or_else(PoisonError::into_inner) = Some(item);
                Chosen::Leave
            }
            (Some(Ok(item)), _) => {
                let (name, opening) = open(&item);
                Chosen::Open(name, opening)
            }
            (Some(Err(why)), _) => Chosen::Refused(why),
            (None, _) => Chosen::Refused("the list has changed; r lists anew".to_owned()),
        }
    });
    let history = settings.history.then(|| History::named("live"));
    run(Start::Pick(title, list, choose), history, settings, log)?;
    Ok(left.lock().unwrap_or_else(PoisonError::into_inner).take())
}
