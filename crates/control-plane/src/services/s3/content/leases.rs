//! Who reads which content, so that what is replaced or deleted stays until it was read to its end.
//!
//! Content is known by the name of its first file. An entry is there while somebody reads, or while the files are being removed; then a
//! new reader is turned away, and looks its object up anew.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{FileName, Piece};

#[derive(Debug, Default)]
pub struct Leases(Mutex<HashMap<FileName, State>>);

#[derive(Debug)]
enum State {
    Read { readers: usize, doomed: Option<Vec<Piece>> },
    Going,
}

impl Leases {
    fn lock(&self) -> MutexGuard<'_, HashMap<FileName, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more reader; not when the content is on its way out.
    pub fn take(&self, name: &FileName) -> bool {
        match self.lock().entry(name.clone()).or_insert(State::Read { readers: 0, doomed: None }) {
            State::Read { readers, doomed: None } => {
                *readers += 1;
                true
            }
            State::Read { .. } | State::Going => false,
        }
    }

    /// One reader fewer. What is to be removed now; then [`Leases::gone`] has to be called.
    pub fn give_back(&self, name: &FileName) -> Option<Vec<Piece>> {
        let mut leases = self.lock();
        let Some(State::Read { readers, doomed }) = leases.get_mut(name) else { return None };
        *readers -= 1;
        if *readers > 0 {
            return None;
        }
        let doomed = doomed.take();
        match doomed {
            Some(_) => leases.insert(name.clone(), State::Going),
            None => leases.remove(name),
        };
        doomed
    }

    /// Whether the content may be removed at once; then [`Leases::gone`] has to be called. Else the last reader sees to it.
    pub fn doom(&self, name: &FileName, pieces: &[Piece]) -> bool {
        let mut leases = self.lock();
        match leases.get_mut(name) {
            None => {
                leases.insert(name.clone(), State::Going);
                true
            }
            Some(State::Read { doomed, .. }) => {
                *doomed = Some(pieces.to_vec());
                false
            }
            Some(State::Going) => false,
        }
    }

    /// Files that go when they were read to their end.
    pub fn awaited(&self) -> Vec<FileName> {
        let leases = self.lock();
        let doomed = leases.values().filter_map(|state| match state {
            State::Read { doomed, .. } => doomed.as_ref(),
            State::Going => None,
        });
        doomed.flatten().map(|Piece(name, _)| name.clone()).collect()
    }

    #[cfg(test)]
    pub fn any_going(&self) -> bool {
        self.lock().values().any(|state| matches!(state, State::Going))
    }

    pub fn gone(&self, name: &FileName) {
        self.lock().remove(name);
    }
}
