//! What an answer looks like: typed cells in fields, tables and trees ([`section`]), and the printers over them.

pub mod json;
mod names;
pub mod sanitize;
pub mod section;
pub mod text;
