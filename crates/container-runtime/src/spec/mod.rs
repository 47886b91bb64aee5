//! From a [`crate::ContainerConfig`] to what libcontainer and the last steps before exec need.

pub(crate) mod capabilities;
pub(crate) mod oci;
pub(crate) mod rlimits;
pub(crate) mod users;
