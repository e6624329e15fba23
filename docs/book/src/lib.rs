//! The chapters of the book, so that `cargo test` compiles and runs their code.
//!
//! A chapter is plain Markdown beside this crate, named in `SUMMARY.md` and included here: one line in each.

#[doc = include_str!("../introduction.md")]
pub mod introduction {}
