//! The data planes of the load balancers.
