//! The hooks with the feature `metrics`. Names, kinds and labels stand in the book's chapter "Watching a system".

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::process::cell::Core;
use crate::process::elsewhere::PeerInfo;
use crate::process::error::CallError;
use crate::process::node::Node;
use crate::term::{CrashClass, ExitReason};

/// What a node adds up for its metrics.
#[derive(Default)]
pub(crate) struct Totals {
    /// Messages that processes had handled which have ended.
    handled: AtomicU64,
}

impl Totals {
    /// To be called when the process is in the table no more.
    pub(crate) fn ended(&self, core: &Core, reason: &ExitReason) {
        self.handled.fetch_add(core.handled(), Ordering::Relaxed);
        let node = core.node().name().to_owned();
        counter!("incarnate_process_ends_total", "node" => node, "reason" => class(reason)).increment(1);
    }
}

/// A call that is timed. Dropped before its answer, the caller has given it up.
pub(crate) struct Call {
    node: String,
    begun: Instant,
    over: bool,
}

impl Call {
    pub(crate) fn begin(node: &Node) -> Self {
        Call { node: node.name().to_owned(), begun: Instant::now(), over: false }
    }

    /// The request was refused, or is under way.
    pub(crate) fn sent<T>(&mut self, asked: Result<T, CallError>) -> Result<T, CallError> {
        if let Err(error) = &asked {
            self.end(outcome(error));
        }
        asked
    }

    pub(crate) fn answered<T>(mut self, answer: Result<T, CallError>) -> Result<T, CallError> {
        self.end(answer.as_ref().err().map_or("ok", outcome));
        answer
    }

    fn end(&mut self, outcome: &'static str) {
        self.over = true;
        let node = || self.node.clone();
        let took = self.begun.elapsed();
        histogram!("incarnate_call_duration_seconds", "node" => node(), "outcome" => outcome).record(took);
        if outcome == "timeout" {
            counter!("incarnate_call_timeouts_total", "node" => node()).increment(1);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.over {
            self.end("abandoned");
        }
    }
}

fn outcome(error: &CallError) -> &'static str {
    match error {
        CallError::Timeout => "timeout",
        CallError::NoProc => "noproc",
        CallError::Exit(_) => "exit",
        CallError::NoConnection => "noconnection",
        CallError::Overloaded => "overloaded",
        CallError::CallingSelf
        | CallError::Unsendable(_)
        | CallError::BadReply
        | CallError::NotUnderstood
        | CallError::WrongProtocol
        | CallError::NoNode
        | CallError::AlreadyAnswered
        | CallError::BadModule => "other",
        CallError::Handler(_) => "handler",
    }
}

pub(crate) fn started(core: &Core) {
    counter!("incarnate_process_starts_total", "node" => core.node().name().to_owned()).increment(1);
}

/// A label has few values: of reasons of the user's own it is not said which.
fn class(reason: &ExitReason) -> &'static str {
    match reason {
        ExitReason::Normal => "normal",
        ExitReason::Shutdown | ExitReason::ShutdownWith(_) => "shutdown",
        ExitReason::Kill | ExitReason::Killed => "killed",
        ExitReason::NoProc => "noproc",
        ExitReason::NoConnection => "noconnection",
        ExitReason::Crash(crash) => match crash.class() {
            CrashClass::Error => "error",
            CrashClass::Panic => "panic",
        },
        ExitReason::Term(_) => "exit",
    }
}

pub(crate) fn restarted(node: &Node, supervisor: &str) {
    let node = node.name().to_owned();
    counter!("incarnate_restarts_total", "node" => node, "supervisor" => supervisor.to_owned()).increment(1);
}

pub(crate) fn upgraded(node: &Node, outcome: &'static str) {
    let node = node.name().to_owned();
    counter!("incarnate_upgrades_total", "node" => node, "outcome" => outcome).increment(1);
}

/// How long the processes of each module were held by an upgrade.
pub(crate) fn paused(node: &Node, pauses: &[Vec<Duration>]) {
    let held = histogram!("incarnate_upgrade_pause_seconds", "node" => node.name().to_owned());
    pauses.iter().flatten().for_each(|pause| held.record(*pause));
}

/// Takes samples of a node until it is dropped; see [`Node::observe`].
#[must_use = "the samples end when this is dropped"]
pub struct Observer(AbortHandle);

impl Drop for Observer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// With the feature `metrics`.
impl Node {
    /// Describes all metrics to the recorder, and takes a [`sample`](Self::sample) at once and then each `every` (at least
    /// a millisecond), in one task on the node's runtime. The task does not keep the node.
    ///
    /// Install the recorder before: what is counted without one goes nowhere.
    pub fn observe(&self, every: Duration) -> Observer {
        let node = self.downgrade();
        let samples = async move {
            let mut ticks = interval(every.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            describe();
            loop {
                ticks.tick().await;
                let Some(node) = node.upgrade() else { return };
                node.sample();
            }
        };
        Observer(self.runtime().spawn(samples).abort_handle())
    }

    /// Writes down what is sampled and not counted where it happens: processes, mailboxes, messages handled, timers, dead
    /// letters and stalls. For who would rather sample when asked for the metrics than at intervals ([`observe`](Self::observe)).
    ///
    /// Looks at each process of the node, without disturbing it.
    pub fn sample(&self) {
        let name = || self.name().to_owned();
        // In this order: a process that ends meanwhile is missing for now, and not counted twice.
        let mut handled = self.totals().handled.load(Ordering::Relaxed);
        let all = self.table().all();
        let mut lengths = BTreeMap::<u64, usize>::new();
        for process in &all {
            handled += process.core().handled();
            *lengths.entry(process.mailbox_len()).or_default() += 1;
        }
        let longest = lengths.last_key_value().map_or(0, |(length, _)| *length);
        let waiting: u64 = lengths.iter().map(|(length, processes)| length * *processes as u64).sum();
        gauge!("incarnate_processes", "node" => name()).set(all.len() as f64);
        gauge!("incarnate_mailbox_longest_messages", "node" => name()).set(longest as f64);
        gauge!("incarnate_mailbox_waiting_messages", "node" => name()).set(waiting as f64);
        let mailboxes = histogram!("incarnate_mailbox_messages", "node" => name());
        for (length, processes) in lengths {
            mailboxes.record_many(length as f64, processes);
        }
        gauge!("incarnate_timers", "node" => name()).set(self.timer_count() as f64);
        if let Some(network) = self.network() {
            sample_peers(self, &network.peers());
        }
        counter!("incarnate_messages_handled_total", "node" => name()).absolute(handled);
        counter!("incarnate_dead_letters_total", "node" => name()).absolute(self.dead_letters());
        counter!("incarnate_stalled_callbacks_total", "node" => name()).absolute(self.stalled_callbacks());
    }
}

/// The nodes that one is connected with.
fn sample_peers(node: &Node, peers: &[PeerInfo]) {
    let name = || node.name().to_owned();
    gauge!("incarnate_peers", "node" => name()).set(peers.len() as f64);
    for peer in peers {
        let other = || peer.name.clone();
        for (lane, bytes) in [("messages", peer.queued_bytes), ("bulk", peer.bulk_queued_bytes)] {
            let queue =
                gauge!("incarnate_peer_queued_bytes", "node" => name(), "peer" => other(), "lane" => lane);
            queue.set(bytes as f64);
        }
        counter!("incarnate_peer_sent_bytes_total", "node" => name(), "peer" => other())
            .absolute(peer.sent_bytes);
        counter!("incarnate_peer_received_bytes_total", "node" => name(), "peer" => other())
            .absolute(peer.received_bytes);
        if let Some(took) = peer.round_trip {
            gauge!("incarnate_peer_round_trip_seconds", "node" => name(), "peer" => other()).set(took);
        }
    }
}

/// The connection with a node is lost.
pub(crate) fn lost(node: &Node, why: &'static str) {
    counter!("incarnate_peer_losses_total", "node" => node.name().to_owned(), "why" => why).increment(1);
}

/// The shards of a node: of each mode how many it serves and how many frames the last standby of any is behind, and how many are
/// lost.
pub(crate) fn shards(node: &Node, modes: &[(&'static str, usize, u64)], lost: usize) {
    let name = || node.name().to_owned();
    for (mode, served, lag) in modes {
        gauge!("incarnate_shards_served", "node" => name(), "mode" => *mode).set(*served as f64);
        gauge!("incarnate_shard_lag_frames", "node" => name(), "mode" => *mode).set(*lag as f64);
    }
    gauge!("incarnate_shards_lost", "node" => name()).set(lost as f64);
}

pub(crate) fn shard_moved(node: &Node, outcome: &'static str) {
    counter!("incarnate_shard_moves_total", "node" => node.name().to_owned(), "outcome" => outcome)
        .increment(1);
}

pub(crate) fn shard_taken_over(node: &Node) {
    counter!("incarnate_shard_takeovers_total", "node" => node.name().to_owned()).increment(1);
}

fn describe() {
    describe_gauge!("incarnate_shards_served", Unit::Count, "Shards that the node serves, by mode");
    describe_gauge!(
        "incarnate_shard_lag_frames",
        Unit::Count,
        "Frames that the last standby of any shard lacks"
    );
    describe_gauge!("incarnate_shards_lost", Unit::Count, "Shards whose owner and copies are gone for good");
    describe_counter!(
        "incarnate_shard_moves_total",
        Unit::Count,
        "Moves of shards from the node, by outcome"
    );
    describe_counter!("incarnate_shard_takeovers_total", Unit::Count, "Shards that the node has taken over");
    describe_gauge!("incarnate_peers", Unit::Count, "Nodes that this one is connected with");
    describe_gauge!("incarnate_peer_queued_bytes", Unit::Bytes, "Bytes that wait to be sent to a node");
    describe_counter!(
        "incarnate_peer_sent_bytes_total",
        Unit::Bytes,
        "Bytes sent to a node over its connection"
    );
    describe_counter!(
        "incarnate_peer_received_bytes_total",
        Unit::Bytes,
        "Bytes that came from a node over it"
    );
    describe_gauge!("incarnate_peer_round_trip_seconds", Unit::Seconds, "The last heartbeat, there and back");
    describe_counter!("incarnate_peer_losses_total", Unit::Count, "Connections that were lost, by why");
    describe_gauge!("incarnate_processes", Unit::Count, "Processes that live, hibernated ones included");
    describe_gauge!("incarnate_mailbox_longest_messages", Unit::Count, "Messages in the longest mailbox");
    describe_gauge!("incarnate_mailbox_waiting_messages", Unit::Count, "Messages that wait in all mailboxes");
    describe_histogram!(
        "incarnate_mailbox_messages",
        Unit::Count,
        "Messages in each mailbox, all of them at each sample"
    );
    describe_gauge!("incarnate_timers", Unit::Count, "Timers and intervals that run");
    describe_counter!("incarnate_messages_handled_total", Unit::Count, "Messages that processes have taken");
    describe_counter!("incarnate_dead_letters_total", Unit::Count, "Messages that went nowhere");
    describe_counter!(
        "incarnate_stalled_callbacks_total",
        Unit::Count,
        "Callbacks found holding their thread for longer than a tenth of a second"
    );
    describe_counter!("incarnate_process_starts_total", Unit::Count, "Processes that were started");
    describe_counter!(
        "incarnate_process_ends_total",
        Unit::Count,
        "Processes that have ended, by class of reason"
    );
    describe_counter!(
        "incarnate_restarts_total",
        Unit::Count,
        "Children that supervisors have started again"
    );
    describe_histogram!("incarnate_call_duration_seconds", Unit::Seconds, "Calls, as the caller waits");
    describe_counter!("incarnate_call_timeouts_total", Unit::Count, "Calls without an answer in time");
    describe_counter!("incarnate_upgrades_total", Unit::Count, "Upgrades, by outcome");
    describe_histogram!(
        "incarnate_upgrade_pause_seconds",
        Unit::Seconds,
        "How long each process was held by an upgrade"
    );
}
