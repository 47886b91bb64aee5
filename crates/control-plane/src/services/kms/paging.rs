//! Pages of KMS's lists.

use aws_shapes_kms::errors;

use super::errors::declared;
use crate::{
    gateway::{ApiError, Call},
    services::paging::Page,
};

/// Where a list is to go on, and how long a page may be.
#[derive(Debug)]
pub struct Wanted {
    marker: Option<String>,
    limit: Option<i32>,
}

impl Wanted {
    pub fn new(marker: Option<String>, limit: Option<i32>) -> Wanted {
        Wanted { marker, limit }
    }
}

/// Cuts a list to the page that a request asks for; 100 unless it says otherwise.
///
/// # Errors
/// `InvalidMarkerException` for a marker of another list.
pub fn page<T>(
    call: &Call,
    list: &str,
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> String,
    wanted: Wanted,
) -> Result<Page<T>, ApiError> {
    let size = usize::try_from(wanted.limit.unwrap_or(100)).unwrap_or(1).clamp(1, 1000);
    let list = format!("kms/{}/{list}", call.scope());
    let page = call.services.page_tokens.page(&list, items, key, wanted.marker.as_deref(), size);
    page.map_err(|_| declared(&errors::INVALID_MARKER_EXCEPTION, "The marker is not valid."))
}
