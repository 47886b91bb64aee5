//! Objects: put, read, looked at, copied, deleted.

mod conditions;
mod copy;
mod delete;
mod draft;
mod get;
pub(super) mod put;

pub use copy::copy;
pub use delete::{delete, delete_many};
pub use draft::Draft;
pub use get::{access_list, attributes, get, head, read, refuse_versions};
pub use put::{put, write};

pub(super) use conditions::{Reading, check as check_reading};
pub(super) use get::{extent, hold};
pub(super) use put::{NewObject, commit, described, receive, tags_of_header};
