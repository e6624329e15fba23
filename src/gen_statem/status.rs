//! How a machine shows itself.

use super::GenStatem;
use crate::gen_server::Status;
use crate::process::Callback;
use crate::term::ExitReason;

/// What `format_status` may look at.
#[non_exhaustive]
pub struct StatusView<'a, M: GenStatem> {
    /// The state. After a panic it is as the panic left it.
    pub state: &'a M::State,
    /// The data, likewise.
    pub data: &'a M,
    /// How many events are postponed.
    pub postponed: usize,
    /// How many timeouts run or are due.
    pub timeouts: usize,
    /// Why the machine ends, if it does.
    pub reason: Option<&'a ExitReason>,
    /// In which callback it ends, if it ends in one.
    pub message: Option<Callback>,
}

impl<M: GenStatem> StatusView<'_, M> {
    /// The status with this text for state and data, and all else as it is.
    pub fn show(&self, state: impl Into<String>) -> Status {
        let reason = self.reason.map(ToString::to_string).unwrap_or_default();
        let message = self.message.map(|callback| callback.to_string()).unwrap_or_default();
        Status::new(state).reason(reason).message(message)
    }
}

impl<M: GenStatem> From<StatusView<'_, M>> for Status {
    fn from(view: StatusView<'_, M>) -> Self {
        let StatusView { postponed, timeouts, .. } = view;
        let name = std::any::type_name::<M>();
        view.show(format!("{name}, postponed: {postponed}, timeouts: {timeouts}"))
    }
}
