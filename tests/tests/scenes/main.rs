//! Whole calls in virtual time: the core, its media, a strict Meta and a PBX under one clock.
//!
//! Every scene is named by what the people on the telephone experience. A scene that fails prints
//! the ladder of its messages.

mod agent_calls;
mod agent_challenged;
mod agent_refused;
mod aliases;
mod answering;
mod behind_nat;
mod being_an_extension;
mod broken_connections;
mod changing;
mod connections;
mod crossing;
mod detours;
mod documented_refusals;
mod early_media;
mod faults;
mod figures;
mod firewall;
mod flows;
mod giving_up;
mod hearing;
mod holding;
mod keys_by_tone;
mod keys_by_word;
mod levels;
mod limits;
mod listeners;
mod operating;
mod other_families;
mod policy;
mod privacy;
mod races;
mod registering;
mod reliable_ringing;
mod restarting;
mod reused_connections;
mod ringing;
mod rough_networks;
mod routes;
mod secured_trunks;
mod session_timers;
mod shut_out;
mod smoothing;
mod stalls;
mod strangers;
mod taken_over;
mod torture;
mod torture_ipv6;
mod transferring;
mod trunk_groups;
mod user_calls;
mod user_refused;
mod waiting;
mod where_they_registered;
