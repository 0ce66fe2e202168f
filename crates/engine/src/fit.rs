//! Whether a model fits the memory budget, and how much context it leaves room for.

use tessera_graph::PAGE;
use tessera_state::{Group, Keep, longest_sequence, sequence_bytes};

use crate::LoadError;

/// Positions that a model must have room for (or all it was made for) unless fewer are asked for: with
/// less, hardly a question fits.
const MINIMUM_CONTEXT: usize = 512;

/// What sequences keep so that a session can go back a little without computing its history again: a page
/// behind sliding windows, and recurrent states at the prompt's end and at a page's edge before it.
pub(crate) const KEEP: Keep = Keep { rollback: PAGE, checkpoints: 2 };

/// What has to fit, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) weights: usize,
    pub(crate) arena: usize,
    pub(crate) groups: Vec<Group>,
    /// Tokens in one step, at most.
    pub(crate) step: usize,
}

impl Needs {
    /// What is remembered of a sequence of `context` positions.
    pub(crate) fn kv(&self, context: usize) -> usize {
        sequence_bytes(&self.groups, context, self.step, KEEP)
    }

    /// All that a model holds which runs such a sequence.
    fn total(&self, context: usize) -> usize {
        self.weights.saturating_add(self.arena).saturating_add(self.kv(context))
    }

    /// Positions, up to `wanted`, for whose keys and values there is room.
    fn longest(&self, wanted: usize, budget: usize) -> usize {
        let left = budget.saturating_sub(self.weights.saturating_add(self.arena));
        longest_sequence(&self.groups, wanted, self.step, KEEP, left)
    }
}

/// Positions of a sequence, and why so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextChoice {
    /// Positions.
    pub tokens: usize,
    /// Why.
    pub reason: ContextReason,
}

/// Why a context has its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextReason {
    /// It was asked for.
    Requested,
    /// The model was made for it.
    Trained,
    /// More would not fit the memory budget.
    Memory {
        /// Positions the model was made for.
        trained: usize,
    },
}

impl std::fmt::Display for ContextChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tokens = self.tokens;
        match self.reason {
            ContextReason::Requested => write!(f, "{tokens} tokens, as asked for"),
            ContextReason::Trained => write!(f, "{tokens} tokens, all the model was made for"),
            ContextReason::Memory { trained } => {
                write!(
                    f,
                    "{tokens} of the {trained} tokens the model was made for, as memory allows"
                )
            }
        }
    }
}

/// Chooses the context: what is requested if it fits, or as much as is useful and fits. `needs` tells what a
/// model needs that is compiled for so many positions: more of them take a larger arena.
pub(crate) fn fit(
    needs: &dyn Fn(usize) -> Result<Needs, LoadError>,
    trained: usize,
    requested: Option<usize>,
    budget: usize,
) -> Result<ContextChoice, LoadError> {
    if let Some(requested) = requested.filter(|&requested| requested > trained) {
        return Err(LoadError::ContextTrained { requested, trained });
    }
    let wanted = requested.unwrap_or(trained);
    let full = needs(wanted)?;
    if full.total(wanted) <= budget {
        let reason =
            if requested.is_some() { ContextReason::Requested } else { ContextReason::Trained };
        return Ok(ContextChoice { tokens: wanted, reason });
    }
    let minimum = wanted.min(MINIMUM_CONTEXT);
    let least = needs(minimum)?;
    if least.total(minimum) > budget {
        let (kv, Needs { weights, arena, .. }) = (least.kv(minimum), least);
        return Err(LoadError::TooLarge { weights, arena, kv, minimum, budget });
    }
    // What is left beside the largest arena is safe; what is left beside the arena for that is more,
    // and may be a page too much.
    let safe = full.longest(wanted, budget).max(minimum);
    let more = needs(safe)?.longest(wanted, budget);
    let possible = if needs(more)?.total(more) <= budget { more.max(safe) } else { safe };
    match requested {
        Some(requested) => {
            let available = budget.saturating_sub(full.weights.saturating_add(full.arena));
            let needed = full.kv(requested);
            Err(LoadError::ContextMemory { requested, possible, needed, available, budget })
        }
        None => Ok(ContextChoice { tokens: possible, reason: ContextReason::Memory { trained } }),
    }
}

#[cfg(test)]
mod tests {
    use tessera_graph::StorageKind;

    use super::*;

    fn fixed(
        trained: usize,
        requested: Option<usize>,
        budget: usize,
    ) -> Result<ContextChoice, LoadError> {
        let groups =
            vec![Group { kind: StorageKind::Pages { window: None }, block_bytes: 64 * 100 }];
        let needs = Needs { weights: 1_000_000, arena: 50_000, groups, step: 64 };
        fit(&|_| Ok(needs.clone()), trained, requested, budget)
    }

    #[test]
    fn the_context_is_what_the_model_was_made_for_if_it_fits() {
        let choice = fixed(2048, None, 10_000_000).unwrap();
        assert_eq!(choice, ContextChoice { tokens: 2048, reason: ContextReason::Trained });
        let choice = fixed(2048, Some(100), 10_000_000).unwrap();
        assert_eq!(choice, ContextChoice { tokens: 100, reason: ContextReason::Requested });
    }

    #[test]
    fn memory_shortens_the_context_to_whole_pages() {
        let choice = fixed(2048, None, 1_050_000 + 100 * 1000).unwrap();
        assert_eq!(choice.tokens, 960);
        assert_eq!(choice.reason, ContextReason::Memory { trained: 2048 });
        assert!(choice.to_string().contains("960 of the 2048"));
    }

    #[test]
    fn a_shorter_context_has_a_smaller_arena() {
        let groups =
            vec![Group { kind: StorageKind::Pages { window: None }, block_bytes: 64 * 100 }];
        // Ten bytes of arena for each position.
        let needs = |context| {
            Ok(Needs { weights: 1_000, arena: 10 * context, groups: groups.clone(), step: 64 })
        };
        let total = |tokens: usize| 1_000 + 110 * tokens;
        for budget in (total(512)..total(2048)).step_by(997) {
            let tokens = fit(&needs, 2048, None, budget).unwrap().tokens;
            assert!((512..2048).contains(&tokens) && total(tokens) <= budget, "{budget}: {tokens}");
            // Beside the arena of all 2,048 there would be room for less.
            let careless = budget.saturating_sub(1_000 + 20_480) / 100 / 64 * 64;
            assert!(tokens >= careless.max(512), "{budget}: {tokens} < {careless}");
        }
        assert!(matches!(
            fit(&needs, 2048, None, total(512) - 1),
            Err(LoadError::TooLarge { arena: 5_120, kv: 51_200, .. })
        ));
    }

    #[test]
    fn refusals_name_all_numbers() {
        match fixed(2048, None, 1_050_000 + 51_199) {
            Err(LoadError::TooLarge { weights, arena, kv, minimum, budget }) => {
                let numbers = (weights, arena, kv, minimum, budget);
                assert_eq!(numbers, (1_000_000, 50_000, 51_200, 512, 1_101_199));
            }
            other => panic!("{other:?}"),
        }
        match fixed(2048, Some(2000), 1_050_000 + 100 * 1000) {
            Err(LoadError::ContextMemory { requested, possible, needed, available, .. }) => {
                assert_eq!((requested, possible, needed, available), (2000, 960, 204_800, 100_000));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            fixed(2048, Some(4096), usize::MAX),
            Err(LoadError::ContextTrained { requested: 4096, trained: 2048 })
        ));
    }
}
