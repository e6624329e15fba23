//! What happened, in the order in which it did.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A host, and the node on it: 0, 1 or 2.
pub type HostNumber = usize;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Nothing gets from one to the other any more, until then, and what is sent meanwhile is lost.
    Cut {
        from: HostNumber,
        to: HostNumber,
        until: Duration,
    },
    /// Nothing gets from one to the other any more, until then: it comes late.
    Hold {
        from: HostNumber,
        to: HostNumber,
        until: Duration,
    },
    /// So long takes what goes between the two.
    Latency {
        between: (HostNumber, HostNumber),
        most: Duration,
    },
    Crash {
        at: HostNumber,
    },
    /// A life of the host begins.
    Begin {
        at: HostNumber,
        life: u32,
    },
    /// A process hears of a node.
    Up {
        at: HostNumber,
        by: Watcher,
        peer: HostNumber,
    },
    Down {
        at: HostNumber,
        by: Watcher,
        peer: HostNumber,
    },
    /// A cast is on its way: the `number`th of the connection that its sender counts as `connection` in this life.
    Sent {
        at: HostNumber,
        to: HostNumber,
        said: Said,
    },
    /// A cast has come.
    Heard {
        at: HostNumber,
        from: HostNumber,
        said: Said,
    },
    /// A process has linked to one there, monitors it, and waits for an answer that it will not give.
    Tied {
        at: HostNumber,
        to: HostNumber,
        tie: u64,
    },
    /// One of the three is over: why.
    Untied {
        at: HostNumber,
        to: HostNumber,
        tie: u64,
        by: By,
        why: String,
    },
    Asked {
        at: HostNumber,
        to: HostNumber,
        number: u64,
    },
    Answered {
        at: HostNumber,
        to: HostNumber,
        number: u64,
        answer: Result<u64, String>,
    },
}

/// Who hears of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watcher {
    /// It takes what others cast.
    Desk,
    /// It casts to one other host.
    Talker,
    /// It has ties to one other host.
    Tier,
}

/// What a process is tied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    Link,
    Monitor,
    Call,
}

/// What a cast says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Said {
    /// Which life of its sender's host.
    pub life: u32,
    /// The how manieth connection of that life it was sent over.
    pub connection: u64,
    /// The how manieth over that connection, from 0.
    pub number: u64,
}

/// Written by all hosts.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Vec<(Duration, Seen)>>>);

impl Trace {
    /// On a host, whose clock says when.
    pub fn note(&self, seen: Seen) {
        // A process that ends with its host has nothing more to say.
        if let Some(now) = turmoil::sim_elapsed() {
            self.note_at(now, seen);
        }
    }

    pub fn note_at(&self, now: Duration, seen: Seen) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((now, seen));
    }

    pub fn take(&self) -> Vec<(Duration, Seen)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The last of what happened, to be read.
pub fn told(trace: &[(Duration, Seen)]) -> String {
    let talk = |seen: &Seen| {
        matches!(seen, Seen::Sent { .. } | Seen::Heard { .. } | Seen::Answered { answer: Ok(_), .. })
    };
    let news: Vec<_> = trace.iter().filter(|(_, seen)| !talk(seen)).collect();
    let last = &news[news.len().saturating_sub(80)..];
    last.iter().map(|(at, seen)| format!("\n{at:?} {seen:?}")).collect()
}
