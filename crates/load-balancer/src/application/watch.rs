//! Time limits of connections without a timer for each of them.
//!
//! A request sets its limit by writing a number. Every tenth of a second one sweep over the thread's connections looks which numbers have
//! passed, marks those connections and wakes them; they see the mark at their next step. The same mark ends exchanges with a target whose
//! time to drain is over, and quiet connections to a listener that is gone.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::{Context, Waker},
    time::Duration,
};

use super::{snapshot::Slot, target::TargetState};

/// How often limits are looked at.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// Why a connection has to stop what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Alarm {
    #[error("a time limit has passed")]
    Deadline,
    #[error("the target's time to drain is over")]
    Cut,
    #[error("the listener is gone")]
    Gone,
}

#[derive(Debug)]
pub(crate) struct Watch {
    deadline_ms: Cell<u64>,
    alarm: Cell<Option<Alarm>>,
    waker: RefCell<Option<Waker>>,
    /// That the request in flight went to.
    target: RefCell<Option<Arc<TargetState>>>,
    /// Between requests.
    quiet: Cell<bool>,
    slot: Rc<Slot>,
}

impl Watch {
    pub(crate) fn new(slot: Rc<Slot>) -> Watch {
        Watch {
            deadline_ms: Cell::new(u64::MAX),
            alarm: Cell::new(None),
            waker: RefCell::new(None),
            target: RefCell::new(None),
            quiet: Cell::new(false),
            slot,
        }
    }

    /// To be asked first in every poll: whether to go on. The task must stay the same.
    pub(crate) fn check(&self, cx: &Context<'_>) -> Result<(), Alarm> {
        if let Some(alarm) = self.alarm.get() {
            return Err(alarm);
        }
        let mut waker = self.waker.borrow_mut();
        if waker.is_none() {
            *waker = Some(cx.waker().clone());
        }
        Ok(())
    }

    /// A new limit; an earlier alarm is over.
    pub(crate) fn until(&self, deadline_ms: u64) {
        self.deadline_ms.set(deadline_ms);
        self.alarm.set(None);
    }

    /// Whether it is between two requests, and may be closed without harm.
    pub(crate) fn set_quiet(&self, quiet: bool) {
        self.quiet.set(quiet);
    }

    pub(crate) fn set_target(&self, target: Option<Arc<TargetState>>) {
        self.target.replace(target);
    }

    /// Looks at the limit.
    pub(crate) fn sweep(&self, now_ms: u64) {
        if self.alarm.get().is_some() {
            return;
        }
        let cut = || self.target.borrow().as_ref().is_some_and(|target| target.cut.load(Ordering::Relaxed));
        let alarm = if self.deadline_ms.get() <= now_ms {
            Alarm::Deadline
        } else if self.quiet.get() && self.slot.is_gone() {
            Alarm::Gone
        } else if cut() {
            Alarm::Cut
        } else {
            return;
        };
        self.alarm.set(Some(alarm));
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}
