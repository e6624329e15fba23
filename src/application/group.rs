//! The processes of an application: all that were spawned inside it, as OTP's group leader says.

use std::sync::Arc;

use crate::process::{AnyProcess, ExitBy, Group, Node, Timeout, answer, watch_end};
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

/// Kills all but one, and returns when they are gone: what they have spawned meanwhile, too.
pub(super) async fn kill_rest(node: &Node, group: Group, but: Pid) {
    loop {
        let rest: Vec<_> =
            members(node, group).into_iter().filter(|process| process.core().pid() != but).collect();
        if rest.is_empty() {
            return;
        }
        let ends: Vec<_> = rest.iter().filter_map(|process| watch_end(&**process)).collect();
        for process in rest {
            process.exit(process.core().pid(), ExitReason::Kill, ExitBy::Call);
        }
        for end in ends {
            // Without a limit the answer can only be the reason.
            let _reason = answer(node, end, Timeout::Infinity).await;
        }
    }
}
