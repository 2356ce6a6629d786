//! A thousand damaged copies of small real dumps of each kind: no panic, no hang, bounded memory, and what is intact is shown.
//!
//! Every mutant follows from its number, so that one that fails can be made again: `MUTANT=417 cargo test --test mutants dotnet`. `THOROUGH=1` asks each
//! everything.

mod bounds;
mod cores;
mod dotnet;
mod heap;
mod random;
