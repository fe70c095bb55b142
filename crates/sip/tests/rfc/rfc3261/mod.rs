//! RFC 3261, by section.

mod s09_cancel;
mod s17_1_1_invite_client;
mod s17_1_2_client;
mod s17_2_1_invite_server;
mod s17_2_2_server;
mod s17_2_3_matching;
mod s18_transport;
