//! What a program reports, as a test sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// One report: its target, its level and its fields as text.
#[derive(Clone, Debug)]
pub struct Report {
    pub target: &'static str,
    pub level: Level,
    pub fields: BTreeMap<&'static str, String>,
}

impl Report {
    /// A field; a report without it fails the test.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("no field {name} in {self:?}"))
    }
}

/// Records what this thread reports while it lives. A test has one thread, and so its own reports.
pub struct Reports {
    events: Arc<Mutex<Vec<Report>>>,
    _guard: DefaultGuard,
    /// As long as there is one only, whoever comes to an event first decides for all threads whether it is heard.
    _second: Dispatch,
}

impl Reports {
    pub fn record() -> Self {
        Self::record_up_to(Level::WARN)
    }

    /// As `record`, with reports of less weight, too.
    pub fn record_up_to(level: Level) -> Self {
        let events = Arc::<Mutex<Vec<Report>>>::default();
        let second = Dispatch::new(Recorder(Arc::default(), level));
        let guard = tracing::subscriber::set_default(Recorder(events.clone(), level));
        Reports { events, _guard: guard, _second: second }
    }

    /// The reports so far, of servers and of crashes.
    pub fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }

    /// The targets of the reports so far, without what they have in common.
    pub fn targets(&self) -> Vec<&'static str> {
        self.take().iter().map(|report| report.target.trim_start_matches("incarnate::")).collect()
    }
}

struct Recorder(Arc<Mutex<Vec<Report>>>, Level);

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // A question whether a report is worth the work is neither event nor span.
        !metadata.is_span() && metadata.target().starts_with("incarnate::") && *metadata.level() <= self.1
    }

    fn event(&self, event: &Event<'_>) {
        let mut report = Report {
            target: event.metadata().target(),
            level: *event.metadata().level(),
            fields: BTreeMap::new(),
        };
        event.record(&mut Fields(&mut report.fields));
        self.0.lock().unwrap().push(report);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
