//! What an answer looks like: typed cells in fields, tables and trees ([`section`]), and the printers over them.

pub mod ascii;
pub mod cell;
pub mod chain;
pub mod columns;
pub mod cut;
pub mod json;
mod names;
pub mod pattern;
pub mod rows;
pub mod sanitize;
pub mod section;
pub mod text;
pub mod words;
pub mod wrap;
