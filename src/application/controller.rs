//! The application controller: the process of a node that carries out what the machine decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::error::{LoadError, StartError, StopError, UnloadError};
use super::group;
use super::machine::{Action, Answer, AppName, Machine, Mode, Report};
use super::master::Master;
use super::shared::{Loaded, Phase, Shared};
use super::spec::StartType;
use crate::gen_server::{CallReply, Context, GenServer, Init, Next, ServerRefOf, noreply};
use crate::process::{Error, Info, ReplyTo, Result, Timeout};
use crate::term::{ExitReason, Name, Never, Pid};

/// As in OTP.
pub(super) const CONTROLLER: Name<Ask, Told, Limit> = Name::new("application_controller");

/// What an application that is still starting gets to end in order when the node stops, if there is no other limit.
const HALF_UP: Duration = Duration::from_secs(5);

pub(super) type ControllerRef = ServerRefOf<Controller>;

/// What is asked for. No request has a time limit, as in OTP.
pub enum Ask {
    Load(Box<Loaded>, ReplyTo<Result<(), LoadError>>),
    Unload(String, ReplyTo<Result<(), UnloadError>>),
    Start(String, StartType, Mode, ReplyTo<Result<(), StartError>>),
    StartAll(String, StartType, ReplyTo<Result<Vec<AppName>, StartError>>),
    Stop(String, ReplyTo<Result<(), StopError>>),
    Which(ReplyTo<Vec<AppName>>),
}

/// What it is told.
pub enum Told {
    /// By a master: the application is up.
    Started(Pid),
    /// By a master: it is about to end, for this reason.
    Exits(Pid, ExitReason),
    NodeStop(u8),
}

/// An application has had its time while the node stops.
pub struct Limit(AppName);

/// Who waits for what.
enum Token {
    Load(Box<Loaded>, ReplyTo<Result<(), LoadError>>),
    Unload(String, ReplyTo<Result<(), UnloadError>>),
    Start(ReplyTo<Result<(), StartError>>),
    StartAll(ReplyTo<Result<Vec<AppName>, StartError>>),
    Stop(ReplyTo<Result<(), StopError>>),
}

/// A master, and how it is told to give up its start.
struct Running {
    name: AppName,
    abort: Arc<Notify>,
}

pub struct Controller {
    machine: Machine<Token>,
    shared: Arc<Shared>,
    masters: BTreeMap<Pid, Running>,
    /// Why masters that are about to end do.
    reasons: BTreeMap<Pid, ExitReason>,
}

impl GenServer for Controller {
    type Args = ();
    type Call = Ask;
    type Cast = Told;
    type Info = Limit;
    type Continue = Never;

    async fn init((): (), cx: &mut Context<Self>) -> Result<Init<Self>> {
        cx.trap_exit(true);
        // Whoever was the first to ask: this process is the node's.
        cx.process().core().set_group(0);
        Ok(Init::Ready(Controller {
            machine: Machine::default(),
            shared: Shared::of(cx.node()),
            masters: BTreeMap::new(),
            reasons: BTreeMap::new(),
        }))
    }

    async fn handle_call(&mut self, ask: Ask, cx: &mut Context<Self>) -> Result<CallReply> {
        match ask {
            Ask::Load(loaded, to) => {
                let spec = loaded.app.spec();
                let (name, needs) = (spec.name(), spec.get_applications().to_vec());
                self.machine.handle_load(Token::Load(loaded, to), name, needs);
            }
            Ask::Unload(name, to) => self.machine.handle_unload(Token::Unload(name.clone(), to), &name),
            Ask::Start(name, kind, mode, to) => {
                self.machine.handle_start(Token::Start(to), &name, kind, mode);
            }
            Ask::StartAll(name, kind, to) => {
                self.machine.handle_start_all(Token::StartAll(to), &name, kind);
            }
            Ask::Stop(name, to) => self.machine.handle_stop(Token::Stop(to), &name),
            Ask::Which(to) => return to.reply(self.machine.running().to_vec()),
        }
        self.settle(cx).await?;
        noreply()
    }

    async fn handle_cast(&mut self, told: Told, cx: &mut Context<Self>) -> Result<Next> {
        match told {
            Told::Started(master) => {
                if let Some(running) = self.masters.get(&master) {
                    self.machine.handle_started(running.name);
                }
            }
            Told::Exits(master, reason) => {
                self.reasons.insert(master, reason);
            }
            Told::NodeStop(code) => self.machine.handle_node_stop(code),
        }
        self.settle(cx).await?;
        noreply()
    }

    async fn handle_info(&mut self, info: Info<Limit>, cx: &mut Context<Self>) -> Result<Next> {
        match info {
            Info::Exit(exit) => {
                let said = self.reasons.remove(&exit.from);
                if let Some(Running { name, .. }) = self.masters.remove(&exit.from) {
                    if said.is_none() && exit.reason != ExitReason::Shutdown {
                        // It did not come to clean up.
                        self.kill(name, cx);
                    }
                    self.machine.handle_ended(name, said.unwrap_or(exit.reason));
                }
            }
            Info::User(Limit(name)) => self.machine.handle_timeout(name),
            _ => {}
        }
        self.settle(cx).await?;
        noreply()
    }
}

impl Controller {
    async fn settle(&mut self, cx: &mut Context<Self>) -> Result<()> {
        while let Some(action) = self.machine.poll() {
            match action {
                Action::Start { name } => self.start(name, cx).await,
                Action::Stop { name } => {
                    if let Some((master, running)) = self.master(name) {
                        running.abort.notify_one();
                        cx.exit(master, ExitReason::Shutdown);
                    }
                }
                Action::Arm { name, half } => self.arm(name, half, cx),
                Action::Kill { name } => self.kill(name, cx),
                Action::Stopping => self.shared.begin_stop(),
                Action::Reply { token, answer } => self.reply(token, answer),
                Action::Report(it) => self.report(&it, cx),
                Action::Halt { code } => {
                    self.shared.enter(Phase::Stopped(code));
                    cx.node().halt();
                }
            }
        }
        Ok(())
    }

    async fn start(&mut self, name: AppName, cx: &mut Context<Self>) {
        let reason = match self.shared.get(name) {
            Some(loaded) => {
                let abort = Arc::<Notify>::default();
                let master = Master::server((loaded, cx.server(), abort.clone()))
                    .label(&*format!("application {name}"));
                match master.start_link().await {
                    Ok(master) => {
                        self.masters.insert(master.pid(), Running { name, abort });
                        return;
                    }
                    Err(error) => ExitReason::from(error),
                }
            }
            None => Error::msg("it is not loaded any more").into_reason(),
        };
        self.machine.handle_ended(name, reason);
    }

    fn arm(&self, name: AppName, half: bool, cx: &Context<Self>) {
        let limit = match self.shared.settings().shutdown_timeout {
            Timeout::After(limit) => limit,
            // A start that hangs is no shutdown that takes its time.
            Timeout::Infinity if half => HALF_UP,
            Timeout::Infinity => return,
        };
        cx.send_after(limit, Limit(name));
    }

    fn master(&self, name: AppName) -> Option<(Pid, &Running)> {
        self.masters.iter().find(|(_, running)| running.name == name).map(|(pid, running)| (*pid, running))
    }

    /// Kills a master and all that belongs to its application.
    fn kill(&self, name: AppName, cx: &Context<Self>) {
        if let Some(loaded) = self.shared.get(name) {
            group::kill(cx.node(), loaded.group);
        }
        if let Some((master, _)) = self.master(name) {
            cx.exit(master, ExitReason::Kill);
        }
    }

    fn reply(&self, token: Token, answer: Answer) {
        // That nobody waits any more is no error of the controller's; the machine answers each token in its kind.
        let _is_awaited = match (token, answer) {
            (Token::Load(loaded, to), Answer::Load(is_new)) => {
                let name = loaded.app.spec().name();
                if is_new {
                    self.shared.insert(*loaded);
                }
                to.send(is_new.then_some(()).ok_or(LoadError::AlreadyLoaded(name)))
            }
            (Token::Unload(name, to), Answer::Unload(answer)) => {
                if answer.is_ok() {
                    self.shared.remove(&name);
                }
                to.send(answer)
            }
            (Token::Start(to), Answer::Start(answer)) => to.send(answer),
            (Token::StartAll(to), Answer::StartAll(answer)) => to.send(answer),
            (Token::Stop(to), Answer::Stop(answer)) => to.send(answer),
            _ => false,
        };
    }

    /// OTP's progress report, and its report of an application that has ended.
    fn report(&self, report: &Report, cx: &Context<Self>) {
        let node = cx.node().name();
        match report {
            Report::Started { name } => {
                tracing::info!(target: "incarnate::application", node, application = name, "application started");
            }
            Report::Stopped { name } => {
                tracing::info!(target: "incarnate::application", node, application = name, "application stopped");
            }
            Report::Exited { name, kind, reason, started, takes_node } => {
                let what = if *started { "has ended" } else { "was not started" };
                if *takes_node || !reason.is_orderly() {
                    tracing::error!(
                        target: "incarnate::application",
                        node, application = name, started, start_type = %kind, %reason, takes_node, "application exited"
                    );
                } else {
                    tracing::info!(
                        target: "incarnate::application",
                        node, application = name, started, start_type = %kind, %reason, takes_node, "application exited"
                    );
                }
                if *takes_node {
                    let cause = format!("{kind} application {name} {what}: {reason}");
                    self.shared.settings().cause.get_or_insert(cause);
                }
            }
        }
    }
}
