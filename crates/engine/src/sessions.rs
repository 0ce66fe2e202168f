//! What sessions remember between requests.

use tessera_state::{SequenceId, State};

use crate::work::SessionId;

/// A sequence that waits for its session's next request.
#[derive(Debug)]
struct Kept {
    session: SessionId,
    sequence: SequenceId,
    /// The tokens the sequence holds.
    tokens: Vec<u32>,
}

/// Idle sessions, least recently used first.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    kept: Vec<Kept>,
}

impl Sessions {
    /// Keeps `sequence`, which holds the first of `tokens`, for the session's next request.
    pub(crate) fn keep(
        &mut self,
        session: SessionId,
        sequence: SequenceId,
        mut tokens: Vec<u32>,
        state: &State,
    ) {
        tokens.truncate(state.len(sequence).unwrap_or(0));
        self.kept.push(Kept { session, sequence, tokens });
    }

    /// Takes the session's sequence, cut back to what it shares with `tokens`; says how much that
    /// is. At least the last of `tokens` is left to run.
    pub(crate) fn resume(
        &mut self,
        session: SessionId,
        tokens: &[u32],
        state: &mut State,
    ) -> Option<(SequenceId, usize)> {
        let index = self.kept.iter().position(|kept| kept.session == session)?;
        let kept = self.kept.remove(index);
        let same = kept.tokens.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        let prefix = same.min(tokens.len().saturating_sub(1));
        let prefix = state.reusable(kept.sequence, prefix).ok()?;
        state.truncate(kept.sequence, prefix).ok()?;
        Some((kept.sequence, prefix))
    }

    /// Gives up the session used least recently; says whether there was one.
    pub(crate) fn evict(&mut self, state: &mut State) -> bool {
        if self.kept.is_empty() {
            return false;
        }
        let kept = self.kept.remove(0);
        tracing::debug!(session = kept.session.0, tokens = kept.tokens.len(), "session evicted");
        state.release(kept.sequence).is_ok()
    }

    /// Gives up what `session` remembers.
    pub(crate) fn end(&mut self, session: SessionId, state: &mut State) {
        while let Some(index) = self.kept.iter().position(|kept| kept.session == session) {
            let kept = self.kept.remove(index);
            // Releasing an open sequence cannot fail.
            let _ = state.release(kept.sequence);
        }
    }

    /// Whether anything is kept for `session`.
    pub(crate) fn remembers(&self, session: SessionId) -> bool {
        self.kept.iter().any(|kept| kept.session == session)
    }

    /// Sessions that something is kept for.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }
}
