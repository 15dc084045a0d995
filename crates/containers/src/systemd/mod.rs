//! Words for systemd: units that run containers, from files that describe them (`.container`, `.volume`, `.network`, `.image`,
//! `.build`) or from containers that there are. Text in, text out: who reads and writes the files is the command line.

pub mod quadlet;
pub mod service;
pub mod unit;
pub mod words;
