//! The terminal UI: what is seen at each size, what keys do, what reaches a terminal, and how it is given back.

mod change;
mod collect;
#[path = "../golden/dumps.rs"]
mod dumps;
mod heap;
mod hostile;
mod keys;
mod log;
mod looks;
mod mouse;
mod pick;
mod pty;
mod screen;
mod terminal;
mod work;
