//! dumpscope: opens a dump and says why.
