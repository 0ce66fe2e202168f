//! Which layers see all positions, and which a window of them.

use tessera_formats::Config;

use super::{LONGEST_CONTEXT, Sizes};
use crate::Result;

/// The window in positions, the query's own included.
pub(crate) fn window(config: &Config) -> Result<Option<usize>> {
    Ok(config.opt_usize("sliding_window", 1..=LONGEST_CONTEXT)?)
}

/// Whether each layer has the window: by `layer_types` where that is given, else by the family's
/// rule.
pub(crate) fn sliding_layers(
    config: &Config,
    sizes: &Sizes,
    rule: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    layers_of(config, sizes, ["sliding_attention", "full_attention"], rule)
}

/// Whether each layer is of the first of two kinds: by `layer_types` where that is given, else by the
/// family's rule.
pub(crate) fn layers_of(
    config: &Config,
    sizes: &Sizes,
    [first, second]: [&str; 2],
    rule: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    const KEY: &str = "layer_types";
    let Some(types) = config.opt_strs(KEY)? else {
        return Ok((0..sizes.layers).map(rule).collect());
    };
    if types.len() != sizes.layers {
        let problem = format!("{} entries for {} layers", types.len(), sizes.layers);
        return Err(config.error(KEY, problem).into());
    }
    let kinds = types.iter().map(|&kind| match kind {
        _ if kind == first => Ok(true),
        _ if kind == second => Ok(false),
        other => {
            let problem = format!("{other:?} is neither {first} nor {second}");
            Err(config.error(KEY, problem).into())
        }
    });
    kinds.collect()
}

/// The window of sliding layers, which they must have.
pub(crate) fn required_window(config: &Config, sliding: &[bool]) -> Result<Option<usize>> {
    let window = window(config)?;
    if window.is_none() && sliding.contains(&true) {
        return Err(config.error("sliding_window", "missing, but there are sliding layers").into());
    }
    Ok(window)
}
