//! .NET with a JIT (CoreCLR): how its structures are laid out, and what its assemblies call things.

pub mod descriptor;
pub mod metadata;
