//! How a handler shows itself, and what is reported of it.

use std::any::type_name;

use super::handler::HandlerId;
use super::installed::Behaviour;
use super::{EventHandler, EventManager, HandlerContext};
use crate::gen_server::{Context, Status};
use crate::process::Info;
use crate::term::ExitReason;

/// What `format_status` of a handler may look at.
#[non_exhaustive]
pub struct HandlerView<'a, H: EventHandler> {
    /// The state. After a panic it is as the panic left it.
    pub state: &'a H,
    /// Why the handler is removed, if it crashed.
    pub reason: Option<&'a ExitReason>,
    /// In which callback it crashed: the kind of its last message.
    pub message: Option<&'static str>,
}

impl<H: EventHandler> HandlerView<'_, H> {
    /// The status with this text for the state, and all else as it is.
    pub fn show(&self, state: impl Into<String>) -> Status {
        let reason = self.reason.map(ToString::to_string).unwrap_or_default();
        Status::new(state).reason(reason).message(self.message.unwrap_or_default())
    }

    /// What is shown when the formatter has panicked.
    pub(super) fn unshown(&self) -> Status {
        self.show("format_status crashed, the state is not shown")
    }
}

impl<H: EventHandler> From<HandlerView<'_, H>> for Status {
    fn from(view: HandlerView<'_, H>) -> Self {
        view.show(type_name::<H>())
    }
}

/// OTP's report of a handler that crashed. `None`: its `init` did, so that there is no state to show.
pub(super) fn report<E: Send + Sync + 'static, I: Send + Sync + 'static>(
    id: &HandlerId,
    handler: Option<&dyn Behaviour<E, I>>,
    reason: &ExitReason,
    during: &'static str,
    cx: &Context<EventManager<E, I>>,
) {
    // Nobody listens: no status is formatted to be thrown away.
    if !tracing::event_enabled!(target: "incarnate::gen_event", tracing::Level::ERROR) {
        return;
    }
    let status = match handler {
        Some(handler) => handler.format(Some(reason), Some(during)),
        None => Status::new("").reason(reason.to_string()).message(during),
    };
    let (name, label) = cx.core().titles();
    tracing::error!(
        target: "incarnate::gen_event",
        pid = %cx.pid(),
        registered_name = name,
        ?label,
        handler = %id,
        last_message = %status.message,
        state = %status.state,
        reason = %status.reason,
        "gen_event handler crashed"
    );
}

pub(super) fn unhandled<H: EventHandler>(info: &Info<H::Info>, cx: &HandlerContext<H>) {
    tracing::warn!(
        target: "incarnate::gen_event",
        pid = %cx.pid(),
        handler = type_name::<H>(),
        kind = info.kind(),
        "handle_info is not defined, the message was dropped"
    );
}
