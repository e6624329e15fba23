//! The processes of an application: all that were spawned inside it, as OTP's group leader says.

use std::sync::Arc;

use crate::process::{AnyProcess, ExitBy, Group, Me, Node, Timeout, answer};
use crate::term::{ExitReason, Pid};

fn members(node: &Node, group: Group) -> Vec<Arc<dyn AnyProcess>> {
    node.table().all().into_iter().filter(|process| process.core().group() == group).collect()
}

/// Kills them all, supervisors before their children, and waits for none.
pub(super) fn kill(node: &Node, group: Group) {
    for process in members(node, group) {
        process.exit(process.core().pid(), ExitReason::Kill, ExitBy::Call);
    }
}

/// Tells the processes of the application that this one is linked to to shut down, and waits for their ends.
pub(super) async fn shut_down_linked(me: &Me, group: Group) {
    let linked = me.process().core().relations().links.pids();
    for process in linked.into_iter().filter_map(|pid| me.node().find(pid)) {
        if process.core().group() == group
            && let Some(end) = process.watch_end()
        {
            process.exit(me.pid(), ExitReason::Shutdown, ExitBy::Call);
            let _reason = answer(me.node(), end, Timeout::Infinity).await;
        }
    }
}

/// Kills all but one, and returns when they are gone: what they have spawned meanwhile, too.
pub(super) async fn kill_rest(node: &Node, group: Group, but: Pid) {
    loop {
        let rest: Vec<_> =
            members(node, group).into_iter().filter(|process| process.core().pid() != but).collect();
        if rest.is_empty() {
            return;
        }
        let ends: Vec<_> = rest.iter().filter_map(|process| process.watch_end()).collect();
        for process in rest {
            process.exit(process.core().pid(), ExitReason::Kill, ExitBy::Call);
        }
        for end in ends {
            // Without a limit the answer can only be the reason.
            let _reason = answer(node, end, Timeout::Infinity).await;
        }
    }
}
