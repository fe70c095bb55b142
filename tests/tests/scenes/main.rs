//! Whole calls in virtual time: the core, its media, a strict Meta and a PBX under one clock.
//!
//! Every scene is named by what the people on the telephone experience. A scene that fails prints
//! the ladder of its messages.

mod agent_calls;
mod agent_challenged;
mod agent_refused;
mod connections;
mod flows;
mod giving_up;
mod hearing;
mod routes;
mod user_calls;
mod user_refused;
