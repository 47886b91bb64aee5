//! Session Manager without a socket: codecs against hostile bytes, the channel's rules, whole sessions with a pretended node.

mod channel;
mod client;
mod codecs;
mod conversation;
mod documents;
mod encryption;
mod ports;
mod sessions;
mod transcripts;
