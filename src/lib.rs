//! Tenure: an event-sourced tenancy service.
//!
//! # Layout
//! - [`http`]: the contract; [`commands`]: what can be done; [`store`]: the event log; [`projector`]: moves the read
//!   models along it; [`reads`]: reading them
//! - [`access`]: who may do what, from memory; [`past`]: what was, at any position of the log
//! - [`feeds`]: the log as other programs follow it; [`deliveries`]: what goes out because something happened
//! - [`mail`]: mail to people, one of the ways out
//! - [`attempts`]: what was refused; nothing else is written beside the log
//! - [`audit`]: what was done and what was refused in one order, and its export
//! - [`overload`]: who is turned away when more is asked than can be done, and whose turn is next
//! - [`resources`]: the shapes clients rely on
//! - [`checkpoints`]: the history, signed
//! - [`cli`], [`config`], [`service`]: how it starts and stops
//! - [`database`], [`embedded_postgres`]: where the log lies
//! - [`data_keys`]: the keys personal data is sealed with, and how it is forgotten
//! - [`secrets`], [`issuers`], [`sessions`], [`key_ring`]: keys, tokens, who may vouch for whom, and whose an API key is
//! - [`clock`], [`ids`]: where time and identifiers come from
//!
//! The rules themselves are in the crate `tenure-aggregates`, the read models in `tenure-projections`.

pub mod access;
pub mod attempts;
pub mod audit;
pub mod checkpoints;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod data_keys;
pub mod database;
pub mod deliveries;
pub mod embedded_postgres;
pub mod feeds;
pub mod http;
pub mod ids;
pub mod issuers;
pub mod key_ring;
pub mod mail;
pub mod overload;
pub mod own_thread;
pub mod past;
pub mod projector;
pub mod reads;
pub mod resources;
pub mod secrets;
pub mod service;
pub mod sessions;
pub mod store;
pub mod webhooks;
