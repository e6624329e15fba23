//! Applications that do what a test says, and write down what happens to them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use incarnate::application::{App, Application, NoConfig, Spec};
use incarnate::supervisor::{ChildSpec, Shutdown, Supervisor};
use incarnate::{
    CallReply, Context, Error, ExitReason, GenServer, Init, Name, Never, Next, Node, Result, ServerRef,
    StartError, Tree, noreply, stop,
};

/// Fails a test that hangs.
pub async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(7200), what).await.expect("it hangs")
}

/// What happened, in order.
#[derive(Clone, Default)]
pub struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    /// What was written since the last look.
    pub fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join(", ")
    }
}

/// What an application of the lab does other than its duty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Its start answers an error, once.
    Fails,
    /// Its start panics.
    Panics,
    /// A start phase answers an error.
    FailsPhase,
    /// Its child never ends by itself, and its supervisor waits for ever.
    Hangs,
    /// prep_stop and stop panic.
    PanicsAtStop,
}

/// What of a start takes long, besides `start` itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slow {
    #[default]
    Nothing,
    /// A second child, four seconds.
    Tree,
    /// The start phases, for ever.
    Phase,
}

pub struct LabApp {
    spec: Spec,
    diary: Diary,
    pub fault: Fault,
    worker: Name<Never, Order>,
    /// How long its start takes.
    takes: Duration,
    slow: Slow,
}

impl LabApp {
    pub fn new(name: &'static str, diary: &Diary) -> Self {
        LabApp {
            spec: Spec::new(name, "1.0.0"),
            diary: diary.clone(),
            fault: Fault::None,
            worker: Name::new(name),
            takes: Duration::ZERO,
            slow: Slow::Nothing,
        }
    }

    pub fn needs(mut self, names: &[&'static str]) -> Self {
        self.spec = self.spec.applications(names.iter().copied());
        self
    }

    pub fn phases(mut self, phases: &[&'static str]) -> Self {
        self.spec = self.spec.start_phases(phases.iter().copied());
        self
    }

    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    pub fn slow(mut self, slow: Slow) -> Self {
        self.slow = slow;
        self
    }

    pub fn takes(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }

    pub fn app(self) -> App {
        App::new(self)
    }

    fn write(&self, what: &str) {
        self.diary.write(format!("{what} {}", self.spec.name()));
    }
}

impl Application for LabApp {
    type Config = NoConfig;

    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    async fn start(&self, _: Arc<NoConfig>) -> Result<Tree> {
        self.write("start");
        tokio::time::sleep(self.takes).await; // sleep: the time that the start takes; virtual
        match self.fault {
            Fault::Fails => return Err(Error::msg("boom")),
            Fault::Panics => panic!("boom"),
            _ => {}
        }
        let (name, diary, hangs) = (self.worker, self.diary.clone(), self.fault == Fault::Hangs);
        let worker = ChildSpec::worker("worker", move || {
            Worker::server((name.as_str(), diary.clone(), hangs)).name(name).start_link()
        });
        let worker = worker.shutdown(Shutdown::Infinity);
        // A worker that ends once too often takes the tree down, with shutdown.
        let tree = Supervisor::tree("top").intensity(0, Duration::from_secs(1)).child(worker);
        if self.slow != Slow::Tree {
            return Ok(tree);
        }
        let slow = ChildSpec::<ServerRef<Never>>::worker("slow", || async {
            tokio::time::sleep(Duration::from_secs(4)).await; // sleep: the time that a child's start takes; virtual
            Err::<_, StartError>(StartError::Ignore)
        });
        Ok(tree.child(slow))
    }

    async fn start_phase(&self, phase: &'static str, _: Arc<NoConfig>) -> Result<()> {
        self.write(phase);
        if self.slow == Slow::Phase {
            std::future::pending::<()>().await;
        }
        if self.fault == Fault::FailsPhase { Err(Error::msg("boom")) } else { Ok(()) }
    }

    async fn prep_stop(&self) {
        self.write("prep_stop");
        assert!(self.fault != Fault::PanicsAtStop, "boom");
    }

    async fn stop(&self) {
        self.write("stop");
        assert!(self.fault != Fault::PanicsAtStop, "boom");
    }
}

/// What a worker is told.
pub enum Order {
    /// To end with this reason.
    End(ExitReason),
    /// To run this.
    Do(Box<dyn FnOnce() + Send>),
}

pub fn worker(node: &Node, name: &'static str) -> ServerRef<Never, Order> {
    Name::new(name).on(node).unwrap()
}

pub struct Worker {
    name: &'static str,
    diary: Diary,
    hangs: bool,
}

impl GenServer for Worker {
    type Args = (&'static str, Diary, bool);
    type Call = Never;
    type Cast = Order;
    type Info = Never;
    type Continue = Never;

    async fn init((name, diary, hangs): Self::Args, cx: &mut Context<Self>) -> Result<Init<Self>> {
        cx.trap_exit(true);
        Ok(Init::Ready(Worker { name, diary, hangs }))
    }

    async fn handle_call(&mut self, call: Never, _: &mut Context<Self>) -> Result<CallReply> {
        match call {}
    }

    async fn handle_cast(&mut self, order: Order, _: &mut Context<Self>) -> Result<Next> {
        match order {
            Order::End(reason) => stop(reason),
            Order::Do(code) => {
                code();
                noreply()
            }
        }
    }

    async fn terminate(&mut self, _: &ExitReason, _: &mut Context<Self>) -> Result<()> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        self.diary.write(format!("end {}", self.name));
        Ok(())
    }
}
