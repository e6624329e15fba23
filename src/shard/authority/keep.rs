//! Keeps a lease for a member: carries out what [`Lease`] decides.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::time::Duration;

use incarnate_shards::{Lease, LeaseAction};
use tokio::time::{self, Instant};

use super::{Authority, LeaseId, Member, RenewError, Renewal};

/// Begins a lease of a member and renews it, and when it is over, begins another. It never returns.
///
/// `about` says what others are told about the member, and is asked before each renewal. `valid` hears which lease it is and
/// until when it is valid, each time that changes: what relies on it is not done at or after that moment, whatever was said
/// before. A moment that is not to come says that it is over; so does another lease. `ttl` is that of the
/// [`Settings`](super::Settings) in force.
///
/// Run it where nothing keeps it waiting: in a process of its own, not beside a server's callbacks.
///
/// # Cancel safety
/// Dropping it ends the renewals; the lease is over in its time.
pub async fn keep_lease(
    authority: &dyn Authority,
    member: Member,
    ttl: Duration,
    mut about: impl FnMut() -> String + Send,
    mut valid: impl FnMut(LeaseId, Instant) + Send,
) -> Infallible {
    let origin = Instant::now();
    let mut lease = Lease::new(ttl, Duration::ZERO);
    loop {
        lease.handle_tick(origin.elapsed());
        // An answer may end it as well as a tick.
        while let Some(action) = lease.poll() {
            match action {
                LeaseAction::Renew { lease: renewed, former } => {
                    let renewal = Renewal { member, lease: renewed, former, about: about() };
                    // It is over when its time is, whether there is an answer or not.
                    let until = lease.wakes().map(|until| origin + until);
                    let answer = first(authority.renew(renewal), sleep_until(until)).await;
                    heard(&mut lease, answer, origin.elapsed());
                }
                LeaseAction::Valid(renewed, until) => valid(renewed, origin + until),
            }
        }
        sleep_until(lease.wakes().map(|at| origin + at)).await;
    }
}

fn heard(lease: &mut Lease, answer: Option<Result<LeaseId, RenewError>>, now: Duration) {
    match answer {
        Some(Ok(renewed)) => lease.handle_renewed(renewed, now),
        Some(Err(RenewError::Over)) => lease.handle_refused(now),
        Some(Err(RenewError::Unknown(_))) | None => lease.handle_failed(now),
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => time::sleep_until(at).await,
        None => pending().await,
    }
}

/// What comes of `work`, unless `limit` is over first.
async fn first<T>(work: impl Future<Output = T>, limit: impl Future<Output = ()>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = limit => None,
    }
}
