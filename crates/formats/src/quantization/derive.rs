//! From configuration and shapes to a tensor's packing.

use super::{QuantMode, Quantization, Spec, TensorQuant, error};
use crate::Result;

/// Every packing of mlx.
fn all() -> impl Iterator<Item = TensorQuant> {
    let affine = [2, 3, 4, 5, 6, 8].into_iter().flat_map(|bits| {
        [32, 64, 128].map(|group_size| TensorQuant { bits, group_size, mode: QuantMode::Affine })
    });
    let float =
        [QuantMode::Mxfp4, QuantMode::Nvfp4, QuantMode::Mxfp8].into_iter().filter_map(|mode| {
            mode.fixed().map(|(bits, group_size)| TensorQuant { bits, group_size, mode })
        });
    affine.chain(float)
}

impl Quantization {
    /// The packing of the tensor `module.weight`, or `None` when it is stored as plain elements.
    ///
    /// `weight` is its shape in 32-bit words, `scales` the shape of `module.scales` if that tensor
    /// exists, `biases` whether `module.biases` does, and `cols` the elements of a row where the
    /// caller knows them. What the configuration leaves open follows from
    ///
    /// ```text
    /// elements of a row = words * 32 / bits = groups * group_size
    /// ```
    ///
    /// The default's bits and group size are a summary: checkpoints that mix packings exist whose
    /// configuration names none of the exceptions. Where they do not fit a tensor that has no entry
    /// of its own, and `cols` is known, the shapes decide, since they leave one answer. A stated mode
    /// stands, and so does all that is said of the module by name.
    ///
    /// # Errors
    ///
    /// When configuration, shapes and `cols` contradict each other otherwise, or leave more than one
    /// packing possible.
    pub fn for_tensor(
        &self,
        module: &str,
        weight: &[usize],
        scales: Option<&[usize]>,
        biases: bool,
        cols: Option<usize>,
    ) -> Result<Option<TensorQuant>> {
        let named = self.modules.get(module);
        let Some(scales) = scales else {
            // As in mlx: the default leaves a tensor alone whose rows do not divide into groups,
            // but a module that is named must be packed.
            return match named {
                Some(Some(_)) => Err(error(module, "named as quantised, but has no scales".into())),
                _ => Ok(None),
            };
        };
        let spec = match named {
            Some(None) => {
                let problem = "named as not quantised, but has scales".into();
                return Err(error(module, problem));
            }
            Some(Some(spec)) => *spec,
            None => self.default,
        };
        let (&words, &groups) = match (weight.split_last(), scales.split_last()) {
            (Some((words, outer)), Some((groups, rows))) if outer == rows => (words, groups),
            _ => {
                let problem = format!("weight {weight:?} and scales {scales:?} differ in rows");
                return Err(error(module, problem));
            }
        };
        let fitting = |spec| -> Vec<TensorQuant> {
            all().filter(|quant| fits(*quant, spec, words, groups, biases, cols)).collect()
        };
        let mut found = fitting(spec);
        if found.is_empty() && named.is_none() && cols.is_some() {
            found = fitting(Spec { mode: spec.mode, ..Spec::default() });
        }
        match found[..] {
            [quant] => Ok(Some(quant)),
            [] => Err(error(module, contradiction(spec, words, groups, biases, cols))),
            _ => {
                let ways: Vec<_> = found.iter().map(|q| (q.bits, q.group_size)).collect();
                let problem = format!(
                    "{words} words and {groups} groups a row leave several (bits, group size) \
                     possible: {ways:?}; state them in config.json"
                );
                Err(error(module, problem))
            }
        }
    }
}

/// Whether a packing agrees with everything that is known.
fn fits(
    quant: TensorQuant,
    spec: Spec,
    words: usize,
    groups: usize,
    biases: bool,
    cols: Option<usize>,
) -> bool {
    let elements = groups.checked_mul(quant.group_size);
    let bits = elements.and_then(|elements| elements.checked_mul(quant.bits.into()));
    elements.is_some_and(|elements| elements > 0 && cols.is_none_or(|cols| cols == elements))
        && bits == words.checked_mul(32)
        && biases == (quant.mode == QuantMode::Affine)
        && spec.bits.is_none_or(|bits| bits == quant.bits)
        && spec.group_size.is_none_or(|size| size == quant.group_size)
        && spec.mode.is_none_or(|mode| mode == quant.mode)
}

/// What cannot be reconciled.
fn contradiction(
    spec: Spec,
    words: usize,
    groups: usize,
    biases: bool,
    cols: Option<usize>,
) -> String {
    fn or_any<T: ToString>(value: Option<T>) -> String {
        value.map_or("any".into(), |value| value.to_string())
    }
    format!(
        "the configuration (bits {}, group size {}, mode {}) does not fit rows of {words} words in \
         {groups} groups with {} biases and {} elements",
        or_any(spec.bits),
        or_any(spec.group_size),
        spec.mode.map_or("any", QuantMode::name),
        if biases { "" } else { "no" },
        or_any(cols),
    )
}
