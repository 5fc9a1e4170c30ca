//! pitstop: a terminal console for Kubernetes node maintenance.
//!
//! # The rooms
//!
//! ```text
//! domain    what is true: rows and rules. Pure: no I/O, no clock, no async, no terminal
//! backend   talks to the outside (Kubernetes, etcd, hosts, disks), reports in domain types
//! engine    carries out a plan: steps, gates, lock, journal, drain. No screen, no terminal
//! console   the terminal UI: a pure core (model, msg, update, keymap, dialog), view/, shell/
//! headless  the same plans as lines or JSON
//! sim       the simulated cluster: Kubernetes API, etcd over gRPC, SSH hosts, scenarios
//! proto     etcd's messages, generated; shared by backend and sim
//! cli, config, main   tie the rooms together
//! ```
//!
//! # Who may import whom
//!
//! `domain` nothing of ours; `backend` domain; `engine` domain and backend; the console's core domain only; `console::view`
//! core and domain; `console::shell` and `headless` engine, backend, domain; `sim` nothing (an honest peer does not share the
//! arithmetic that it tests). `tests/architecture.rs` holds the code to it.
//!
//! # How a key becomes an API call
//!
//! ```text
//! terminal input ─┐
//! tick, resize ───┤                 ┌───────────────────────────┐
//! watch deltas ───┼── Msg ────────▶ │ update(&mut Model, Msg)   │ ──▶ view(&Model, Frame)   when dirty, <= 60 fps
//! run events ─────┘                 └────────────┬──────────────┘
//!       ▲                                        ▼ Vec<Effect>  (one needs a Permit to change anything)
//!       └───── events with an OpId ◀── shell's executor ──▶ engine ──▶ backend
//! ```
//!
//! `R` on a node: the keymap names the command, [`domain::guard::demand`] says which rung of the ladder it needs (or why it is
//! denied), a dialog asks, [`domain::guard::grant`] turns the typed name into a [`domain::guard::Permit`], and only with that
//! can the effect be made that starts the engine. Every change in a backend takes the permit again and holds itself against it.

pub mod app;
pub mod backend;
pub mod cli;
pub mod config;
pub mod connect;
pub mod console;
pub mod domain;
pub mod engine;
pub mod headless;
pub mod logging;
pub mod opening;
pub mod proto;
pub mod rehearsal;
pub mod sim;
