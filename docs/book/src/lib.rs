//! The chapters of the book, so that `cargo test` compiles and runs their code.
//!
//! A chapter is plain Markdown beside this crate, named in `SUMMARY.md` and included here: one line in each.

use std::future::Future;

use incarnate::{Node, Process, Result};
use tokio::sync::oneshot;

/// Runs a chapter's code as a process on a node of its own. Fails when the code returns an error or panics.
///
/// # Panics
/// The code failed, or there is no runtime to be had.
pub fn inside<M, Fut>(code: impl FnOnce(Process<M>) -> Fut + Send + 'static)
where
    M: Send + 'static,
    Fut: Future<Output = Result> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (tell, told) = oneshot::channel();
        Node::new("book").spawn(move |me: Process<M>| async move {
            // Nobody listens any more only if the example is over.
            let _ = tell.send(code(me).await);
        });
        told.await
            .expect("the example panicked, or was ended by a signal")
            .expect("the example returned an error");
    });
}

#[doc = include_str!("../introduction.md")]
pub mod introduction {}

#[doc = include_str!("../processes.md")]
pub mod processes {}

#[doc = include_str!("../gen_server.md")]
pub mod gen_server {}

#[doc = include_str!("../gen_statem.md")]
pub mod gen_statem {}

#[doc = include_str!("../gen_event.md")]
pub mod gen_event {}

#[doc = include_str!("../supervision.md")]
pub mod supervision {}

#[doc = include_str!("../applications.md")]
pub mod applications {}

#[doc = include_str!("../tasks.md")]
pub mod tasks {}

#[doc = include_str!("../errors.md")]
pub mod errors {}

#[doc = include_str!("../hibernation.md")]
pub mod hibernation {}

#[doc = include_str!("../distribution.md")]
pub mod distribution {}

#[doc = include_str!("../process_groups.md")]
pub mod process_groups {}

#[doc = include_str!("../keyed_processes.md")]
pub mod keyed_processes {}

#[doc = include_str!("../upgrades.md")]
pub mod upgrades {}

#[doc = include_str!("../upgrade_cookbook.md")]
pub mod upgrade_cookbook {}

#[doc = include_str!("../watching.md")]
pub mod watching {}

#[doc = include_str!("../testing.md")]
pub mod testing {}

#[doc = include_str!("../switchboard.md")]
pub mod switchboard {}

/// The code in the README is no chapter, and runs all the same.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub mod readme {}
