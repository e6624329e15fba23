//! What is counted and sampled, as a recorder sees it.

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

const METADATA: metrics::Metadata<'static> =
    metrics::Metadata::new(module_path!(), metrics::Level::INFO, None);

/// Metrics of one node.
pub type Seen = BTreeMap<String, Vec<f64>>;

/// A recorder for this thread, which is all that a test has.
pub struct Recorder {
    snapshots: Snapshotter,
    _guard: metrics::LocalRecorderGuard<'static>,
}

impl Recorder {
    pub fn install() -> Self {
        let recorder = Box::leak(Box::new(DebuggingRecorder::new()));
        Recorder { snapshots: recorder.snapshotter(), _guard: metrics::set_default_local_recorder(recorder) }
    }

    /// What there is of a node; see [`take`](Self::take).
    pub fn take_of(&self, node: &str) -> Seen {
        self.take().remove(node).unwrap_or_default()
    }

    /// What there is of each node, by the name and the labels but the node's. Counters and histograms show what came since the
    /// last look, gauges what they were set to last.
    pub fn take(&self) -> BTreeMap<String, Seen> {
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        for (key, _, described, value) in self.snapshots.snapshot().into_vec() {
            let values = match value {
                DebugValue::Histogram(values) if values.is_empty() => continue,
                DebugValue::Histogram(values) => values.into_iter().map(|value| *value).collect(),
                DebugValue::Counter(count) => vec![count as f64],
                DebugValue::Gauge(value) => {
                    // A look takes it away.
                    metrics::with_recorder(|recorder| {
                        recorder.register_gauge(key.key(), &METADATA).set(*value)
                    });
                    vec![*value]
                }
            };
            let mut name = key.key().name().to_owned();
            let (nodes, labels): (Vec<_>, Vec<_>) =
                key.key().labels().partition(|label| label.key() == "node");
            for label in labels {
                name = format!("{name} {}={}", label.key(), label.value());
            }
            assert!(described.is_some(), "{name} is not described");
            let [node] = nodes[..] else { panic!("{name} is not of one node") };
            let of_node = seen.entry(node.value().to_owned()).or_default();
            of_node.insert(name.trim_start_matches("incarnate_").to_owned(), values);
        }
        seen
    }
}
