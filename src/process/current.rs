//! The process that runs on this thread right now.

use std::cell::RefCell;
use std::sync::Arc;

use super::cell::Process;
use super::elsewhere::Room;

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn Process>>> = const { RefCell::new(None) };
}

/// Gives the handle back and puts the former one in its place, also when the code within panics.
struct Restore<'a> {
    mine: &'a mut Option<Arc<dyn Process>>,
    former: Option<Arc<dyn Process>>,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        let former = self.former.take();
        *self.mine = CURRENT.with(|current| current.replace(former));
    }
}

/// Runs code as the process in `mine`; the handle is lent for that time, which saves counting it twice a poll.
pub(super) fn within<R>(mine: &mut Option<Arc<dyn Process>>, code: impl FnOnce() -> R) -> R {
    let former = CURRENT.with(|current| current.replace(mine.take()));
    let _restore = Restore { mine, former };
    code()
}

/// The process whose code asks, if it is one.
pub(crate) fn get() -> Option<Arc<dyn Process>> {
    with(|process| process.cloned())
}

/// Looks at the process whose code asks, without taking hold of it.
pub(crate) fn with<R>(look: impl FnOnce(Option<&Arc<dyn Process>>) -> R) -> R {
    CURRENT.with(|current| look(current.borrow().as_ref()))
}

/// Has the process whose code asks, if it is one, wait for room before it takes another message.
pub(crate) fn hold_back(room: impl FnOnce() -> Box<dyn Room>) {
    with(|process| {
        if let Some(process) = process.filter(|process| !process.core().is_held_back()) {
            process.core().hold_back(room());
        }
    });
}
