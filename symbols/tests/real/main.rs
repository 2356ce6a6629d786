//! Files and names of real programs, compiled while the tests run and compared with the answers of other tools.
#![cfg(test)]

mod common;
mod files;
mod names;
mod stores;
mod variables;
