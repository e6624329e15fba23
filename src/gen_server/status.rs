//! How a server shows itself.

use crate::process::Callback;
use crate::term::ExitReason;

use super::GenServer;

/// What `format_status` may look at.
#[non_exhaustive]
pub struct StatusView<'a, S: GenServer> {
    /// The state. After a panic it is as the panic left it.
    pub state: &'a S,
    /// Why the server ends, if it does.
    pub reason: Option<&'a ExitReason>,
    /// In which callback it ends, if it ends in one: the kind of its last message.
    pub message: Option<Callback>,
}

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The state, as text.
    pub state: String,
    /// The reason, as text; empty while the server runs.
    pub reason: String,
    /// The last message, as text: by default its kind. Empty while the server runs, and when it ends between messages.
    pub message: String,
}

impl Status {
    /// Shows the state as this text.
    pub fn new(state: impl Into<String>) -> Self {
        Status { state: state.into(), reason: String::new(), message: String::new() }
    }

    /// Shows the reason as this text.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Shows the last message as this text.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }
}

impl<S: GenServer> StatusView<'_, S> {
    /// The status with this text for the state, and all else as it is.
    pub fn show(&self, state: impl Into<String>) -> Status {
        let reason = self.reason.map(ToString::to_string).unwrap_or_default();
        let message = self.message.map(|callback| callback.to_string()).unwrap_or_default();
        Status::new(state).reason(reason).message(message)
    }

    /// What is shown when the formatter has panicked.
    pub(super) fn unshown(&self) -> Status {
        self.show("format_status crashed, the state is not shown")
    }
}

impl<S: GenServer> From<StatusView<'_, S>> for Status {
    fn from(view: StatusView<'_, S>) -> Self {
        view.show(std::any::type_name::<S>())
    }
}
