//! Which deployment a service runs, and what happens next to it.
