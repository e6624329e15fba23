//! OTP's reports, as tracing events.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use incarnate::supervisor::{Restart, Shutdown};
use incarnate::{DynamicSupervisor, ExitReason, Supervisor};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::nursery::{Start, crash, end_of, secs, shutdown, world};

/// The events of supervisors, each in one line: level, context, child, reason.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<String>>>);

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if ["context", "child", "reason", "children"].contains(&field.name()) {
            write!(self.0, " {field}={value:?}").unwrap();
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Reports {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        if ["incarnate::supervisor", "incarnate::progress"].contains(&target) {
            let mut line =
                Line(format!("{} {}", event.metadata().level(), target.trim_start_matches("incarnate::")));
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }
}

impl Reports {
    /// The reports since the last look.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn reports() -> (Reports, tracing::subscriber::DefaultGuard) {
    let reports = Reports::default();
    let subscriber = tracing_subscriber::registry().with(reports.clone());
    (reports, tracing::subscriber::set_default(subscriber))
}

#[tokio::test(start_paused = true)]
async fn a_crash_and_its_restart_are_reported() {
    let (reports, _guard) = reports();
    world(move |mut me, nursery| async move {
        nursery.starts("a", [Start::Ok, Start::Ok, Start::Fail]);
        let supervisor = Supervisor::tree("s").child(nursery.worker("a")).start_link().await.unwrap();
        assert_eq!(reports.take(), ["INFO progress child=a"]);
        nursery.crash("a").await;
        supervisor.count_children().await.unwrap();
        let terminated = r#"ERROR supervisor context="child_terminated" reason="crash" child=a"#;
        assert_eq!(reports.take(), [terminated, "INFO progress child=a"]);
        nursery.crash("a").await;
        end_of(&mut me, supervisor.pid()).await;
        let given_up = r#"ERROR supervisor context="shutdown" reason=reached_max_restart_intensity child=a"#;
        assert_eq!(reports.take(), [terminated, given_up]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_033_a_start_on_request_is_progress_for_debuggers() {
    let (reports, _guard) = reports();
    world(move |_, nursery| async move {
        let supervisor = Supervisor::tree("s").start_link().await.unwrap();
        supervisor.start_child(nursery.worker("a")).await.unwrap();
        assert_eq!(reports.take(), ["DEBUG progress child=a"]);
        nursery.end("a", ExitReason::Normal).await;
        supervisor.count_children().await.unwrap();
        assert_eq!(reports.take()[1..], ["INFO progress child=a"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_reported() {
    let (reports, _guard) = reports();
    world(move |_, nursery| async move {
        nursery.starts("a", [Start::Fail]);
        assert!(Supervisor::tree("s").child(nursery.worker("a")).start_link().await.is_err());
        assert_eq!(reports.take(), [r#"ERROR supervisor context="start_error" reason="failed" child=a"#]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_end_other_than_told_is_reported() {
    let (reports, _guard) = reports();
    world(move |me, nursery| async move {
        let tree = Supervisor::tree("s")
            .child(nursery.worker("killed").shutdown(Shutdown::Timeout(secs(1))))
            .child(nursery.worker("transient").restart(Restart::Transient))
            .child(nursery.worker("permanent"));
        let supervisor = tree.start_link().await.unwrap();
        nursery.slow("killed", None).await;
        nursery.slow("transient", Some((secs(0), ExitReason::Normal))).await;
        nursery.slow("permanent", Some((secs(0), ExitReason::Normal))).await;
        reports.take();
        shutdown(&me, &supervisor).await;
        let expected = [
            r#"ERROR supervisor context="shutdown_error" reason=normal child=permanent"#,
            r#"ERROR supervisor context="shutdown_error" reason=killed child=killed"#,
        ];
        assert_eq!(reports.take(), expected);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ends_of_dynamic_children_are_summed_up() {
    let (reports, _guard) = reports();
    world(move |mut me, nursery| async move {
        let starts = nursery.clone();
        let kids = DynamicSupervisor::new("kids", move |id: &'static str| starts.clone().start(id));
        let kids = kids.start_link().await.unwrap();
        for (id, reason) in
            [("a", crash()), ("b", crash()), ("c", ExitReason::Shutdown), ("d", ExitReason::Normal)]
        {
            kids.start_child(id).await.unwrap();
            nursery.slow(id, Some((secs(0), reason))).await;
        }
        me.exit(kids.pid(), ExitReason::Shutdown);
        end_of(&mut me, kids.pid()).await;
        let expected = [
            r#"ERROR supervisor context="shutdown_error" reason="\"crash\"" children=2 child=kids"#,
            r#"ERROR supervisor context="shutdown_error" reason="normal" children=1 child=kids"#,
        ];
        assert_eq!(reports.take(), expected);
    })
    .await;
}
