//! Module files and names (placeholder until the first version lands).
