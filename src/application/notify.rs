//! The service manager: systemd's notifications, where `NOTIFY_SOCKET` asks for them.

use std::time::Duration;

use super::applications::Applications;
use super::run::Ends;

/// What the service manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Stopping,
    Watchdog,
}

/// A socket that takes nothing holds up nobody for longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells the service manager, if there is one. That it cannot be told is traced, and no error: the service runs.
pub(super) async fn notify(state: State) {
    // A full socket blocks its sender.
    let told = tokio::task::spawn_blocking(move || send(state));
    if let Ok(Ok(Err(error))) = tokio::time::timeout(PATIENCE, told).await {
        tracing::warn!(target: "incarnate::application", ?state, %error, "the service manager was not told");
    }
}

/// Tells the service manager that the service lives, twice in the time that it allows: from a task of the runtime, and
/// only if the controller of the node has answered, so that a runtime or a node that stands still is found out.
pub(super) fn watchdog(applications: Applications) -> Option<Ends> {
    let every = interval()? / 2;
    let beat = async move {
        let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if applications.answers_within(every).await {
                notify(State::Watchdog).await;
            }
        }
    };
    Some(Ends(tokio::spawn(beat).abort_handle()))
}

#[cfg(target_os = "linux")]
fn send(state: State) -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use sd_notify::NotifyState;

    let state = match state {
        State::Ready => NotifyState::Ready,
        State::Stopping => NotifyState::Stopping,
        State::Watchdog => NotifyState::Watchdog,
    };
    let socket = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    match socket.as_bytes() {
        // A socket with a name and no file, which the crate does not know.
        [b'@', name @ ..] => {
            let address = SocketAddr::from_abstract_name(name)?;
            UnixDatagram::unbound()?.send_to_addr(state.to_string().as_bytes(), &address).map(|_| ())
        }
        _ => sd_notify::notify(&[state]),
    }
}

#[cfg(target_os = "linux")]
fn interval() -> Option<Duration> {
    // No interval at all would be a beat without end.
    sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
}

#[cfg(not(target_os = "linux"))]
fn send(_: State) -> std::io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn interval() -> Option<Duration> {
    None
}
