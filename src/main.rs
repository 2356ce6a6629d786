//! dumpscope: opens a dump and says why.
fn main() {}
