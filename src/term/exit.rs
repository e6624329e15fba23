//! Why a process ended.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Term;

/// Why a process ended, or why another asks it to (`erlang:exit/1,2`).
///
/// 16 bytes, cheap to clone, comparable, and it crosses the wire unchanged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExitReason {
    /// It was done. Linked processes go on.
    Normal,
    /// It was asked to stop: the orderly end that a supervisor sends.
    Shutdown,
    /// An orderly end with a cause: `{shutdown, Term}`.
    ShutdownWith(Term),
    /// Sent by `exit(pid, kill)` it cannot be trapped and the target ends [`Killed`](Self::Killed). As a reason that a
    /// process gave itself it is an ordinary one.
    Kill,
    /// It was killed.
    Killed,
    /// There was no such process.
    NoProc,
    /// The connection to its node was lost.
    NoConnection,
    /// A callback or a process function returned an error, or panicked.
    Crash(Arc<Crash>),
    /// Any other term.
    Term(Term),
}

impl ExitReason {
    /// A reason of the user's own, from any serialisable value.
    ///
    /// # Panics
    /// The value is none that [`Term::encode`] takes; use that where it may not be.
    pub fn term<T: Serialize + ?Sized>(value: &T) -> Self {
        ExitReason::Term(Term::encode(value).expect("an exit reason serialises"))
    }

    /// `{shutdown, Cause}` from any serialisable value.
    ///
    /// # Panics
    /// The value is none that [`Term::encode`] takes; use that where it may not be.
    pub fn shutdown_with<T: Serialize + ?Sized>(cause: &T) -> Self {
        ExitReason::ShutdownWith(Term::encode(cause).expect("a shutdown cause serialises"))
    }

    /// An end that OTP reports nothing about: normal, shutdown, or shutdown with a cause.
    pub fn is_orderly(&self) -> bool {
        matches!(self, ExitReason::Normal | ExitReason::Shutdown | ExitReason::ShutdownWith(_))
    }

    pub(crate) fn error(message: impl Into<String>) -> Self {
        ExitReason::Crash(Arc::new(Crash::new(CrashClass::Error, message)))
    }

    /// The same reason, with each text in it of so many bytes at most; a term of another kind becomes a text.
    pub(crate) fn shortened(&self, bytes: usize) -> Self {
        let text = |term: &Term| Term::from(&*cut(&term.to_string(), bytes));
        match self {
            ExitReason::ShutdownWith(cause) => ExitReason::ShutdownWith(text(cause)),
            ExitReason::Term(term) => ExitReason::Term(text(term)),
            ExitReason::Crash(crash) => {
                ExitReason::Crash(Arc::new(Crash::new(crash.class, cut(&crash.message, bytes))))
            }
            short => short.clone(),
        }
    }

    /// The reason of a panic, from its payload.
    pub(crate) fn panic(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "panicked with a value that is not text".to_owned());
        ExitReason::Crash(Arc::new(Crash::new(CrashClass::Panic, text)))
    }
}

/// The beginning of a text: so many bytes at most, and a sign if there is more.
pub(crate) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes)])
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitReason::Normal => f.write_str("normal"),
            ExitReason::Shutdown => f.write_str("shutdown"),
            ExitReason::ShutdownWith(cause) => write!(f, "{{shutdown, {cause}}}"),
            ExitReason::Kill => f.write_str("kill"),
            ExitReason::Killed => f.write_str("killed"),
            ExitReason::NoProc => f.write_str("noproc"),
            ExitReason::NoConnection => f.write_str("noconnection"),
            ExitReason::Crash(crash) => fmt::Display::fmt(crash, f),
            ExitReason::Term(term) => write!(f, "{term}"),
        }
    }
}

impl fmt::Debug for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a process crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CrashClass {
    /// A callback returned an error: `?` is let it crash.
    Error,
    /// A callback panicked.
    Panic,
}

/// What is known of a crash: its class, its message and the chain of causes.
///
/// It stands where Erlang has `{Error, Stacktrace}`. A Rust error carries no stack of its own; its chain of sources
/// takes that place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crash {
    class: CrashClass,
    message: String,
    causes: Vec<String>,
}

impl Crash {
    pub(crate) fn new(class: CrashClass, message: impl Into<String>) -> Self {
        Crash { class, message: message.into(), causes: Vec::new() }
    }

    pub(crate) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let message = error.to_string();
        let mut causes = Vec::<String>::new();
        for cause in std::iter::successors(error.source(), |e| e.source()).map(ToString::to_string) {
            // Some errors say their cause themselves: it is not said twice.
            if !causes.last().unwrap_or(&message).ends_with(&cause) {
                causes.push(cause);
            }
        }
        Crash { class: CrashClass::Error, message, causes }
    }

    /// Whether it returned an error or panicked.
    pub fn class(&self) -> CrashClass {
        self.class
    }

    /// The error's or the panic's own text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The texts of `source()`, outermost first, but for one that the text before it ends with.
    pub fn causes(&self) -> &[String] {
        &self.causes
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            CrashClass::Error => write!(f, "error: {}", self.message)?,
            CrashClass::Panic => write!(f, "panic: {}", self.message)?,
        }
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_two_words() {
        assert_eq!(size_of::<ExitReason>(), 16);
    }

    #[test]
    fn reasons_cross_the_wire() {
        let big = ExitReason::term(&vec![7u8; 128 * 1024]);
        for reason in [ExitReason::Normal, ExitReason::shutdown_with("bye"), ExitReason::error("boo"), big] {
            let bytes = rmp_serde::to_vec_named(&reason).unwrap();
            assert_eq!(rmp_serde::from_slice::<ExitReason>(&bytes).unwrap(), reason);
        }
    }
}
