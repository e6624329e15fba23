//! Keeps the lease of a member: carries out what [`Lease`] decides.

use std::future::{Future, pending};
use std::time::Duration;

use incarnate_shards::{Lease, LeaseAction};
use tokio::time::{self, Instant};

use super::{Authority, LeaseId, Member, RenewError, Renewal};

/// Begins the lease of a member and renews it until it is over, which this returns.
///
/// `about` says what others are told about the member, and is asked before each renewal. `valid` hears until when the lease
/// is valid, each time that changes: what relies on it is not done at or after that moment, whatever else is known. `ttl`
/// is that of the [`Settings`](super::Settings) in force.
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
    mut valid: impl FnMut(Instant) + Send,
) {
    let origin = Instant::now();
    let mut lease = Lease::new(ttl, Duration::ZERO);
    let mut id = None;
    loop {
        lease.handle_tick(origin.elapsed());
        // An answer may end it as well as a tick.
        while let Some(action) = lease.poll() {
            match action {
                LeaseAction::Renew => {
                    let renewal = Renewal { member, lease: id, about: about() };
                    // It is over when its time is, whether there is an answer or not.
                    let until = lease.wakes().map(|until| origin + until);
                    let answer = first(authority.renew(renewal), sleep_until(until)).await;
                    heard(&mut lease, &mut id, answer, origin.elapsed());
                }
                LeaseAction::Valid(until) => valid(origin + until),
                LeaseAction::Over => return,
            }
        }
        sleep_until(lease.wakes().map(|at| origin + at)).await;
    }
}

fn heard(
    lease: &mut Lease,
    id: &mut Option<LeaseId>,
    answer: Option<Result<LeaseId, RenewError>>,
    now: Duration,
) {
    match answer {
        Some(Ok(renewed)) => {
            *id = Some(renewed);
            lease.handle_renewed(now);
        }
        Some(Err(RenewError::Over)) => lease.handle_refused(),
        Some(Err(RenewError::Unsent(_))) => lease.handle_unsent(now),
        Some(Err(RenewError::Unknown(_))) | None => lease.handle_unanswered(now),
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
