//! What the partition algebra promises, one file per promise.

mod clocks;
mod common;
mod definitions;
mod differences;
mod documentation;
mod laws;
mod limits;
mod mapping_laws;
mod mappings;
mod multi;
mod selections;
mod stored;
mod subsets;
mod wall;
mod windows;
mod zones;
