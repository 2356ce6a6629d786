//! Pure functions over the model: no dump, no file, no printer.

pub mod awaits;
pub mod deadlock;
pub mod graph;
pub mod growth;
pub mod histogram;
pub mod motion;
pub mod recursion;
pub mod share;
pub mod stacks;
pub mod triage;
