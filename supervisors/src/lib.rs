//! The decisions of supervision, pure.
#![no_std]
extern crate alloc;
