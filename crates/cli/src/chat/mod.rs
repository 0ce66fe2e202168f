//! Answers on a terminal: one, or a whole conversation.

pub mod answer;
mod commands;
pub mod conversation;
pub mod editor;
pub mod input;
pub mod printer;
pub mod repl;
pub mod settings;
pub mod stats;
pub mod think;
