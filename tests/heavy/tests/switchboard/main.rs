//! The example service as a program, driven by clients that others wrote and by clients that mean no good.

mod commands;
mod crash;
mod hostile;
mod outside;
mod program;
mod upgrade;
