//! Process and node identifiers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A node's identity inside pids: a fingerprint of its name.
///
/// 32 bits keep a [`Pid`] at 16 bytes and `Copy`. Two nodes whose names share a fingerprint refuse to connect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(u32);

impl NodeId {
    /// The fingerprint of a node name (FNV-1a, which is stable across releases and machines).
    pub const fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        let mut hash: u32 = 0x811c_9dc5;
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
            i += 1;
        }
        NodeId(hash)
    }

    pub(crate) const fn from_fingerprint(fingerprint: u32) -> Self {
        NodeId(fingerprint)
    }

    pub(crate) const fn fingerprint(self) -> u32 {
        self.0
    }
}

impl From<&str> for NodeId {
    fn from(name: &str) -> Self {
        NodeId::of(name)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The identity of a process: which node, which life of that node (its creation), and a number that the node
/// never hands out twice.
///
/// Plain data, 16 bytes: it may be kept, compared, stored and sent. A pid of a process that has ended stays valid as
/// a value; what is sent to it goes nowhere, as in Erlang. Source: `erlang:self/0`, "Data Types: Pid".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pid {
    node: NodeId,
    creation: u32,
    id: u64,
}

impl Pid {
    pub(crate) const fn new(node: NodeId, creation: u32, id: u64) -> Self {
        Pid { node, creation, id }
    }

    /// The process with this number on the same node, in the same life of it.
    pub(crate) fn sibling(self, id: u64) -> Self {
        Pid { id, ..self }
    }

    /// The node that the process lives on (`erlang:node/1`).
    pub fn node(self) -> NodeId {
        self.node
    }

    /// Which life of that node: a node that was started anew has another creation, so that its pids never
    /// name processes of the former life.
    pub fn creation(self) -> u32 {
        self.creation
    }

    /// The number of the process on its node.
    pub fn id(self) -> u64 {
        self.id
    }
}

/// `<node.id.creation>`, all but the id in hexadecimal.
impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{:?}.{}.{:x}>", self.node, self.id, self.creation)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_two_words_and_survives_the_wire() {
        assert_eq!(size_of::<Pid>(), 16);
        let pid = Pid::new(NodeId::of("a@host"), 7, 42);
        let bytes = rmp_serde::to_vec_named(&pid).unwrap();
        assert_eq!(rmp_serde::from_slice::<Pid>(&bytes).unwrap(), pid);
    }

    #[test]
    fn other_names_and_other_lives_are_other_pids() {
        assert_ne!(NodeId::of("a@host"), NodeId::of("b@host"));
        assert_ne!(Pid::new(NodeId::of("a"), 1, 1), Pid::new(NodeId::of("a"), 2, 1));
    }
}
