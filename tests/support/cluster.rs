//! Several nodes in one program, each with a scope, and what they see of a group.

use incarnate::node::Distribution;
use incarnate::pg::{DEFAULT_SCOPE, Group, Scope};
use incarnate::{ExitReason, Never, Node, Pid, ProcessRef};
use serde::{Deserialize, Serialize};

use crate::pair::{distribution, until};
use crate::probe::{idle, in_time};

/// A group of processes that do nothing.
pub type Idle = Group<Never, Never, ()>;

/// The group of most tests.
pub const GROUP: Idle = Group::new("group");
pub const OTHER: Idle = Group::new("other");

/// What a scope says to another, as it stands in docs/wire.md.
#[derive(Serialize, Deserialize)]
pub enum Raw {
    Discover { from: Pid, version: u32 },
    Sync { from: Pid, first: bool, last: bool, groups: Vec<(String, Vec<u64>)> },
    Join { from: Pid, group: String, members: Vec<u64> },
    Leave { from: Pid, members: Vec<u64>, groups: Vec<String> },
    Later { weights: Vec<f64> },
}

pub struct Member {
    pub node: Node,
    pub on: Distribution,
    pub scope: Scope,
}

/// So many nodes, all connected.
pub async fn cluster<const N: usize>() -> [Member; N] {
    let mut members = Vec::new();
    for name in ["a", "b", "c", "d"].into_iter().take(N) {
        let member = Member::new(name).await;
        for other in &members {
            connect(&member, other).await;
        }
        members.push(member);
    }
    members.try_into().unwrap_or_else(|_| panic!("there are names for four nodes"))
}

pub async fn connect(a: &Member, b: &Member) {
    in_time(a.on.connect(b.on.address().unwrap())).await.unwrap();
    until(|| b.on.nodes().contains(&a.node.name().to_owned())).await;
}

/// They lose each other, and their scopes have heard of it.
pub async fn cut(a: &Member, b: &Member) {
    let (on_a, on_b) = (a.joined("of a").await, b.joined("of b").await);
    a.until_sees("of b", &[on_b.pid()]).await;
    b.until_sees("of a", &[on_a.pid()]).await;
    a.on.disconnect(b.node.id()).await;
    a.until_sees("of b", &[]).await;
    b.until_sees("of a", &[]).await;
    a.end(&on_a).await;
    b.end(&on_b).await;
    until(|| !a.scope.which_groups().contains(&"of a".to_owned())).await;
    until(|| !b.scope.which_groups().contains(&"of b".to_owned())).await;
}

pub fn sorted(pids: impl IntoIterator<Item = Pid>) -> Vec<Pid> {
    let mut pids = Vec::from_iter(pids);
    pids.sort_unstable();
    pids
}

impl Member {
    /// A node that is not connected yet, with a scope that runs.
    pub async fn new(name: &str) -> Self {
        let node = Node::new(name);
        let on = distribution(&node).start().await.unwrap();
        let scope = Scope::of(&node, DEFAULT_SCOPE);
        scope.start().await.unwrap();
        Member { node, on, scope }
    }

    pub fn scope_pid(&self) -> Pid {
        self.node.whereis(DEFAULT_SCOPE).unwrap()
    }

    /// Says something to this node's scope from another node, as if it came from a scope there.
    pub fn told_by(&self, other: &Member, raw: Raw) {
        incarnate::Name::<Never, Raw>::new(DEFAULT_SCOPE).at(&other.node, self.node.id()).cast(raw);
    }

    /// A process of this node that is in the group.
    pub async fn joined(&self, group: &str) -> ProcessRef<()> {
        let process = idle(&self.node);
        self.scope.join(&Idle::named(group), &process).await.unwrap();
        process
    }

    pub async fn end(&self, process: &ProcessRef<()>) {
        self.node.exit(process.pid(), ExitReason::Kill);
        in_time(process.ended()).await;
    }

    pub fn sees(&self, group: &str) -> Vec<Pid> {
        sorted(self.scope.members(&Idle::named(group)).iter().map(ProcessRef::pid))
    }

    pub fn sees_of_its_own(&self, group: &str) -> Vec<Pid> {
        sorted(self.scope.local_members(&Idle::named(group)).iter().map(ProcessRef::pid))
    }

    pub async fn until_sees(&self, group: &str, members: &[Pid]) {
        let members = sorted(members.iter().copied());
        until(|| self.sees(group) == members).await;
    }

    /// Until this node's scope has taken all that the other's has told it so far.
    pub async fn has_heard(&self, other: &Member) {
        // Behind all of that: what a scope tells another keeps its order.
        let last = other.joined("heard").await;
        until(|| self.sees("heard").contains(&last.pid())).await;
        other.scope.leave(&Idle::new("heard"), &last).await.unwrap();
        until(|| !self.sees("heard").contains(&last.pid())).await;
        other.end(&last).await;
    }
}
