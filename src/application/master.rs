//! The application master: the process that an application's callbacks run in, and its top supervisor's parent.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::Notify;

use super::controller::{ControllerRef, Told};
use super::group::{kill_rest, shut_down_linked};
use super::shared::Loaded;
use crate::gen_server::{CallReply, Context, GenServer, Init, Next, noreply, stop};
use crate::process::{Error, Info, Result, catch, panic_reason};
use crate::supervisor::SupervisorRef;
use crate::term::{ExitReason, Never};

pub(super) struct Master {
    loaded: Arc<Loaded>,
    controller: ControllerRef,
    /// The start is to be given up: the node stops.
    abort: Arc<Notify>,
    /// The top supervisor, while it runs.
    top: Option<SupervisorRef>,
    /// It is up: its start phases are done, too.
    started: bool,
    /// `start` has returned.
    begun: bool,
    /// `stop` is to be called: it was up, or was about to be when the node stopped.
    stops: bool,
}

impl GenServer for Master {
    type Args = (Arc<Loaded>, ControllerRef, Arc<Notify>);
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    /// To begin the start, which the controller does not wait for.
    type Continue = ();

    async fn init((loaded, controller, abort): Self::Args, cx: &mut Context<Self>) -> Result<Init<Self>> {
        cx.trap_exit(true);
        // All that is spawned from here on belongs to the application.
        cx.process().core().set_group(loaded.group);
        cx.continue_with(());
        Ok(Init::Ready(Master {
            loaded,
            controller,
            abort,
            top: None,
            started: false,
            begun: false,
            stops: false,
        }))
    }

    async fn handle_call(&mut self, call: Never, _: &mut Context<Self>) -> Result<CallReply> {
        match call {}
    }

    async fn handle_continue(&mut self, (): (), cx: &mut Context<Self>) -> Result<Next> {
        let abort = self.abort.clone();
        let started = tokio::select! {
            biased;
            started = async { catch(pin!(self.start())).await } => Some(started),
            () = abort.notified() => None,
        };
        let Some(started) = started else {
            // A tree that is half up is known by its link alone. The order to end comes behind this.
            if self.top.is_none() {
                shut_down_linked(cx, self.loaded.group).await;
            }
            self.stops = self.begun;
            return noreply();
        };
        match started {
            Ok(Ok(())) => {
                (self.started, self.stops) = (true, true);
                self.controller.cast(Told::Started(cx.pid()));
                noreply()
            }
            Ok(Err(error)) => self.exit(error.into_reason(), cx),
            Err(panic) => self.exit(panic_reason(panic), cx),
        }
    }

    async fn handle_info(&mut self, info: Info<Never>, cx: &mut Context<Self>) -> Result<Next> {
        match info {
            Info::Exit(exit) if self.top.as_ref().is_some_and(|top| top.pid() == exit.from) => {
                self.top = None;
                self.exit(exit.reason, cx)
            }
            // Others that the callbacks have linked themselves to: their ends are no matter of the application.
            _ => noreply(),
        }
    }

    /// Rule 2.15.2, also when the tree has ended by itself: prep_stop, the shutdown of the tree without a time limit, stop, and then what else was spawned inside
    /// the application is killed.
    async fn terminate(&mut self, _: &ExitReason, cx: &mut Context<Self>) -> Result<()> {
        if self.started {
            contained("prep_stop", self.loaded.app.spec().name(), self.loaded.app.prep_stop()).await;
        }
        if let Some(top) = self.top.take() {
            cx.exit(top.pid(), ExitReason::Shutdown);
            top.ended().await;
        }
        if std::mem::take(&mut self.stops) {
            contained("stop", self.loaded.app.spec().name(), self.loaded.app.stop()).await;
        }
        kill_rest(cx.node(), self.loaded.group, cx.pid()).await;
        Ok(())
    }
}

impl Master {
    async fn start(&mut self) -> Result<()> {
        let Loaded { app, config, .. } = &*self.loaded;
        let tree = app.start(config).await?;
        self.begun = true;
        let top = tree.start_link().await.map_err(|error| Error::exit(ExitReason::from(error)))?;
        self.top = Some(top);
        for phase in app.spec().get_start_phases() {
            app.start_phase(phase, config).await?;
        }
        Ok(())
    }

    /// The controller is told why, so that the process itself may end quietly. It acts when that is gone, with all that
    /// belonged to the application.
    fn exit(&self, reason: ExitReason, cx: &Context<Self>) -> Result<Next> {
        self.controller.cast(Told::Exits(cx.pid(), reason));
        stop(ExitReason::Normal)
    }
}

/// What a callback that can answer no error does must not keep the application from its end.
async fn contained(callback: &'static str, application: &'static str, code: impl Future<Output = ()>) {
    if let Err(panic) = catch(pin!(code)).await {
        let reason = panic_reason(panic);
        tracing::error!(target: "incarnate::application", application, callback, %reason, "a callback crashed");
    }
}
