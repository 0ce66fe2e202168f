//! Whether a model fits the memory budget, and how much context it leaves room for.

use tessera_graph::{Graph, KvType, PAGE};
use tessera_state::{Group, longest_sequence, sequence_bytes};

use crate::LoadError;

/// Positions that a model must have room for (or all it was made for) unless fewer are asked for: with
/// less, hardly a question fits.
const MINIMUM_CONTEXT: usize = 512;

/// Positions that sliding windows keep beyond what a query sees, so that a session can go back a little
/// without computing its history again.
pub(crate) const ROLLBACK: usize = PAGE;

/// What has to fit, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Needs {
    pub(crate) weights: usize,
    pub(crate) arena: usize,
    pub(crate) groups: Vec<Group>,
    /// Tokens in one step, at most.
    pub(crate) step: usize,
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

/// The page groups of a graph, with the bytes of their pages when elements lie without gaps.
pub(crate) fn groups(graph: &Graph, kv: KvType) -> Vec<Group> {
    let elements = |id: &tessera_graph::StateId| {
        let state = &graph.states[id.index()];
        2 * state.kv_heads * state.head_dim
    };
    let group = |group: &tessera_graph::PageGroup| Group {
        window: group.window,
        page_bytes: PAGE * kv.bytes() * group.states.iter().map(elements).sum::<usize>(),
    };
    graph.page_groups().iter().map(group).collect()
}

/// Chooses the context: what is requested if it fits, or as much as is useful and fits.
pub(crate) fn fit(
    needs: &Needs,
    trained: usize,
    requested: Option<usize>,
    budget: usize,
) -> Result<ContextChoice, LoadError> {
    if let Some(requested) = requested.filter(|&requested| requested > trained) {
        return Err(LoadError::ContextTrained { requested, trained });
    }
    let Needs { weights, arena, ref groups, step } = *needs;
    let available = budget.saturating_sub(weights.saturating_add(arena));
    let minimum = requested.unwrap_or(trained).min(MINIMUM_CONTEXT);
    let kv = sequence_bytes(groups, minimum, step, ROLLBACK);
    if weights.saturating_add(arena).saturating_add(kv) > budget {
        return Err(LoadError::TooLarge { weights, arena, kv, minimum, budget });
    }
    let wanted = requested.unwrap_or(trained);
    let possible = longest_sequence(groups, wanted, step, ROLLBACK, available);
    match requested {
        Some(requested) if possible < requested => {
            let needed = sequence_bytes(groups, requested, step, ROLLBACK);
            Err(LoadError::ContextMemory { requested, possible, needed, available, budget })
        }
        Some(tokens) => Ok(ContextChoice { tokens, reason: ContextReason::Requested }),
        None if possible < trained => {
            Ok(ContextChoice { tokens: possible, reason: ContextReason::Memory { trained } })
        }
        None => Ok(ContextChoice { tokens: trained, reason: ContextReason::Trained }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs() -> Needs {
        let groups = vec![Group { window: None, page_bytes: 64 * 100 }];
        Needs { weights: 1_000_000, arena: 50_000, groups, step: 64 }
    }

    #[test]
    fn the_context_is_what_the_model_was_made_for_if_it_fits() {
        let choice = fit(&needs(), 2048, None, 10_000_000).unwrap();
        assert_eq!(choice, ContextChoice { tokens: 2048, reason: ContextReason::Trained });
        let choice = fit(&needs(), 2048, Some(100), 10_000_000).unwrap();
        assert_eq!(choice, ContextChoice { tokens: 100, reason: ContextReason::Requested });
    }

    #[test]
    fn memory_shortens_the_context_to_whole_pages() {
        let choice = fit(&needs(), 2048, None, 1_050_000 + 100 * 1000).unwrap();
        assert_eq!(choice.tokens, 960);
        assert_eq!(choice.reason, ContextReason::Memory { trained: 2048 });
        assert!(choice.to_string().contains("960 of the 2048"));
    }

    #[test]
    fn refusals_name_all_numbers() {
        match fit(&needs(), 2048, None, 1_050_000 + 51_199) {
            Err(LoadError::TooLarge { weights, arena, kv, minimum, budget }) => {
                let numbers = (weights, arena, kv, minimum, budget);
                assert_eq!(numbers, (1_000_000, 50_000, 51_200, 512, 1_101_199));
            }
            other => panic!("{other:?}"),
        }
        match fit(&needs(), 2048, Some(2000), 1_050_000 + 100 * 1000) {
            Err(LoadError::ContextMemory { requested, possible, needed, available, .. }) => {
                assert_eq!((requested, possible, needed, available), (2000, 960, 204_800, 100_000));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            fit(&needs(), 2048, Some(4096), usize::MAX),
            Err(LoadError::ContextTrained { requested: 4096, trained: 2048 })
        ));
    }
}
