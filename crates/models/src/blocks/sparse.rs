//! Mixtures of experts as configurations describe them.

use tessera_formats::Config;
use tessera_graph::GatedUnit;

use super::{Mixture, Sizes};
use crate::Result;

/// Most experts of a layer, and of a model: each is built and bound by itself.
const MOST_EXPERTS: usize = 4096;
const MOST_OF_A_MODEL: usize = 1 << 17;
const WIDEST: usize = 1 << 20;

/// The mixture of experts of a width of their own, `moe_intermediate_size`.
pub(crate) fn mixture(
    config: &Config,
    sizes: &Sizes,
    unit: impl Into<GatedUnit>,
) -> Result<Mixture> {
    let inner = config.usize("moe_intermediate_size", 1..=WIDEST)?;
    mixture_of_width(config, sizes, inner, unit)
}

/// The same with the width known.
pub(crate) fn mixture_of_width(
    config: &Config,
    sizes: &Sizes,
    inner: usize,
    unit: impl Into<GatedUnit>,
) -> Result<Mixture> {
    // Families differ in the name; transformers 5 saves some under the other one.
    let known = ["num_experts", "n_routed_experts"].into_iter().find(|key| config.has(key));
    let key = known.unwrap_or("num_local_experts");
    let experts = config.usize(key, 1..=MOST_EXPERTS)?;
    if experts * sizes.layers > MOST_OF_A_MODEL {
        let problem = format!(
            "{experts} in each of {} layers are more than {MOST_OF_A_MODEL} in all",
            sizes.layers
        );
        return Err(config.error(key, problem).into());
    }
    only(config, "scoring_func", "softmax")?;
    let k = config.usize("num_experts_per_tok", 1..=experts)?;
    Ok(Mixture::new(experts, k, inner, unit))
}

/// Whether each layer has a mixture: every `decoder_sparse_step`-th, but none of `mlp_only_layers`.
pub(crate) fn sparse_layers(config: &Config, sizes: &Sizes) -> Result<Vec<bool>> {
    let step = config.opt_usize("decoder_sparse_step", 1..=usize::MAX)?.unwrap_or(1);
    let dense = config.opt_usizes("mlp_only_layers", 0..=usize::MAX)?.unwrap_or_default();
    let sparse = |i: usize| (i + 1).is_multiple_of(step) && !dense.contains(&i);
    Ok((0..sizes.layers).map(sparse).collect())
}

/// Refuses a field that names another way than the family's one.
pub(crate) fn only(config: &Config, key: &str, known: &str) -> Result<()> {
    match config.opt_str(key)? {
        Some(other) if other != known => {
            let problem = format!("{other:?} is not supported; {known} is");
            Err(config.error(key, problem).into())
        }
        _ => Ok(()),
    }
}
