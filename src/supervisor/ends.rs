//! Waiting for children to end.

use tokio::time::timeout_at;

use super::cause::Cause;
use super::kind::Kind;
use super::server::Server;
use crate::gen_server::Context;
use crate::process::{Envelope, Object, Signal};

impl<K: Kind> Server<K> {
    /// Waits until one of the children that were told to end has ended, or their time is up.
    ///
    /// Both the exit and the DOWN of such a child are taken, in their order: a child that unlinked itself is seen by the
    /// DOWN alone, one that was dead before by an exit that knows more. All else waits in the mailbox.
    pub(super) async fn await_end(&mut self, cx: &mut Context<Self>) {
        let ending = &self.ending;
        let next = cx.inbox.next_where(|envelope| match envelope {
            Envelope::Signal(signal) => match &**signal {
                Signal::Exit(exit) => ending.contains_key(&exit.from),
                Signal::Down(down) => {
                    matches!(down.object, Object::Pid(pid) if ending.get(&pid) == Some(&down.reference))
                }
                Signal::Node { .. } | Signal::EventTimeout(_) | Signal::Changed | Signal::System(..) => false,
            },
            Envelope::User(_) | Envelope::Request(..) | Envelope::Timer(_) => false,
        });
        let envelope = match self.limit {
            None => next.await,
            Some((timer, at)) => match timeout_at(at, next).await {
                Ok(envelope) => envelope,
                Err(_) => {
                    self.limit = None;
                    let now = self.now();
                    return self.machine.handle_timeout(timer, now);
                }
            },
        };
        let Envelope::Signal(signal) = envelope else { return };
        let now = self.now();
        match *signal {
            Signal::Exit(exit) => self.machine.handle_exited(exit.from, Cause::Exit(exit.reason), now),
            Signal::Down(down) => {
                if let Object::Pid(pid) = down.object {
                    self.ending.remove(&pid);
                    self.subtrees.remove(&pid);
                    self.machine.handle_down(pid, Cause::Exit(down.reason), now);
                }
            }
            Signal::Node { .. } | Signal::EventTimeout(_) | Signal::Changed | Signal::System(..) => {}
        }
    }
}
