//! What a process is doing, as others see it.

use std::fmt;

/// What a process is doing (`current_function` of `erlang:process_info/2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Callback {
    /// It waits for a message.
    Waiting,
    /// A process function of `spawn` that is not in `receive`.
    Running,
    /// `init`.
    Init,
    /// `handle_call`.
    HandleCall,
    /// `handle_cast`.
    HandleCast,
    /// `handle_info`.
    HandleInfo,
    /// `handle_continue`.
    HandleContinue,
    /// `handle_event` or a state function, with an event that came from no mailbox.
    HandleEvent,
    /// A state enter call.
    StateEnter,
    /// `terminate`.
    Terminate,
    /// It hibernates.
    Hibernating,
}

impl Callback {
    const ALL: [Callback; 11] = [
        Callback::Waiting,
        Callback::Running,
        Callback::Init,
        Callback::HandleCall,
        Callback::HandleCast,
        Callback::HandleInfo,
        Callback::HandleContinue,
        Callback::HandleEvent,
        Callback::StateEnter,
        Callback::Terminate,
        Callback::Hibernating,
    ];

    pub(super) fn of(byte: u8) -> Self {
        Self::ALL.get(usize::from(byte)).copied().unwrap_or(Callback::Waiting)
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Callback::Waiting => "waiting",
            Callback::Running => "running",
            Callback::Init => "init",
            Callback::HandleCall => "handle_call",
            Callback::HandleCast => "handle_cast",
            Callback::HandleInfo => "handle_info",
            Callback::HandleContinue => "handle_continue",
            Callback::HandleEvent => "handle_event",
            Callback::StateEnter => "state_enter",
            Callback::Terminate => "terminate",
            Callback::Hibernating => "hibernating",
        })
    }
}
