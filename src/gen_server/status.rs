//! How a server shows itself.

use crate::term::ExitReason;

use super::GenServer;

/// What `format_status` may look at.
#[non_exhaustive]
pub struct StatusView<'a, S: GenServer> {
    /// The state. After a panic it is as the panic left it.
    pub state: &'a S,
    /// Why the server ends, if it does.
    pub reason: Option<&'a ExitReason>,
}

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The state, as text.
    pub state: String,
    /// The reason, as text; empty while the server runs.
    pub reason: String,
}

impl Status {
    /// Shows the state as this text.
    pub fn new(state: impl Into<String>) -> Self {
        Status { state: state.into(), reason: String::new() }
    }

    /// Shows the reason as this text.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }
}

impl<S: GenServer> From<StatusView<'_, S>> for Status {
    fn from(view: StatusView<'_, S>) -> Self {
        let status = Status::new(std::any::type_name::<S>());
        view.reason.map_or(status.clone(), |reason| status.reason(reason.to_string()))
    }
}
