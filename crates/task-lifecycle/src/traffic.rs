//! What load balancers have to do with a task's course: ACTIVATING and DEACTIVATING.
//!
//! Both states are the control plane's own; the node never says them. A task behind a load balancer is held at ACTIVATING
//! from the moment its containers run until its targets are registered. Asked to stop, it is held at DEACTIVATING until
//! its targets are drained; only then is its node told. A task that ends by itself waits for nothing: whoever takes the report
//! in has its targets removed at the same time. Source: the developer guide, "task lifecycle".

use serde::{Deserialize, Serialize};

use crate::{TaskRecord, TaskStatus};

/// Whether load balancers are to send requests to a task, and whether they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Traffic {
    /// No load balancer knows of it, nor shall one.
    #[default]
    None,
    /// It is to be registered once its containers run.
    Awaited,
    /// It is registered.
    Open,
    /// It is deregistered, and requests in flight may end; its node has not been told to stop it.
    Draining,
    /// Nothing reaches it any more.
    Closed,
}

impl TaskRecord {
    /// Of a task that load balancers shall send requests to.
    #[must_use]
    pub fn behind_load_balancer(mut self) -> TaskRecord {
        self.traffic = Traffic::Awaited;
        self
    }

    /// Whether its containers run and its targets are to be registered now.
    pub fn awaits_traffic(&self) -> bool {
        self.traffic == Traffic::Awaited && self.last_status == TaskStatus::Activating
    }

    /// Its targets are registered: it is RUNNING.
    pub fn open_traffic(&mut self) {
        if self.awaits_traffic() {
            self.traffic = Traffic::Open;
            self.last_status = TaskStatus::Running;
        }
    }

    /// It is to stop. Whether its targets have to be deregistered and drained before its node is told.
    pub fn begin_draining(&mut self) -> bool {
        let drains = self.traffic == Traffic::Open && self.last_status <= TaskStatus::Running;
        match self.traffic {
            Traffic::Open if drains => {
                self.traffic = Traffic::Draining;
                self.last_status = TaskStatus::Deactivating;
            }
            Traffic::Awaited => self.traffic = Traffic::Closed,
            _ => {}
        }
        drains
    }

    /// Nothing reaches it any more. Whether that was waited for.
    pub fn close_traffic(&mut self) -> bool {
        let waited = self.traffic == Traffic::Draining;
        if self.traffic != Traffic::None {
            self.traffic = Traffic::Closed;
        }
        waited
    }

    /// Whether the node may not be told to stop it yet.
    pub fn is_draining(&self) -> bool {
        self.traffic == Traffic::Draining && self.last_status == TaskStatus::Deactivating
    }

    /// Where the record stands when its node says `said`.
    pub(crate) fn status_after(&self, said: TaskStatus) -> TaskStatus {
        let held = match (self.traffic, said) {
            (Traffic::Awaited, TaskStatus::Running) => TaskStatus::Activating,
            _ => said,
        };
        self.last_status.max(held)
    }
}
