//! A conversation that does not compute its history again.

use std::{fmt, sync::Arc};

use crate::{
    command::{Command, Commands},
    work::SessionId,
};

/// Keeps a sequence's keys and values between requests, so that the next one computes only what is
/// new: see [`Request::session`](crate::Request::session).
///
/// The longest common prefix of the remembered tokens and the new prompt is reused, whatever the request
/// (an edited history simply shares less). Reuse changes no result. It is best effort: a session's
/// pages are given up, oldest first, when running requests need the memory, and a sliding window may
/// have forgotten what a much shorter history would need; the prompt is then computed in full.
/// [`Started::cached_tokens`](crate::Started::cached_tokens) tells. A cloned session is the same session;
/// dropping the last clone frees its pages.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    id: SessionId,
    commands: Commands,
}

impl Session {
    pub(crate) fn new(id: SessionId, commands: Commands) -> Self {
        Self(Arc::new(Inner { id, commands }))
    }

    /// The id, if the session belongs to the model behind `commands`.
    pub(crate) fn id_at(&self, commands: &Commands) -> Option<SessionId> {
        self.0.commands.same(commands).then_some(self.0.id)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A model that is gone has given everything back already.
        let _ = self.commands.send(Command::EndSession(self.id));
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.0.id.0)
    }
}
