//! Names of kernels: made of their specialisations, so that none has a constant that its name does not tell.

/// What tells itself in the names of kernels: specialisations, and what they are made of.
///
/// `#[derive(Name)]` makes it for structs and enums, of all their fields. A number is told with its field's name, or with the
/// name's first letter where no other number of the struct begins so (`r4`); a condition by its field's name, if it holds; what is
/// called as its type, without the field's name. `#[name(f)]` on a field tells what `f` makes of it, and nothing beside.
///
/// ```
/// use tessera_tile::{Name, ir::Elem};
///
/// #[derive(Name)]
/// struct ColumnSum {
///     elem: Elem,
///     stage: Elem,
///     rows: u32,
///     bias: bool,
///     tile: Option<u32>,
/// }
///
/// let (elem, stage) = (Elem::BF16, Elem::F32);
/// let all = ColumnSum { elem, stage, rows: 4, bias: true, tile: Some(8) };
/// assert_eq!(all.name(), "column_sum_bf16_stage_f32_r4_bias_tile8");
/// let few = ColumnSum { elem, stage, rows: 4, bias: false, tile: None };
/// assert_eq!(few.name(), "column_sum_bf16_stage_f32_r4");
/// ```
pub trait Name {
    /// What values of the type are called: its name in lower case, `column_sum`.
    const TYPE: &'static str;

    /// Adds to a name what this is, as the field `field`.
    fn tell(&self, field: &str, name: &mut String);

    /// The whole name, an identifier if the type's is.
    fn name(&self) -> String {
        let mut name = Self::TYPE.to_owned();
        self.tell(Self::TYPE, &mut name);
        name
    }
}

impl Name for u32 {
    const TYPE: &'static str = "u32";

    fn tell(&self, field: &str, name: &mut String) {
        label(field, "", name);
        name.push_str(&self.to_string());
    }
}

impl Name for bool {
    const TYPE: &'static str = "bool";

    fn tell(&self, field: &str, name: &mut String) {
        match (field, self) {
            ("", _) => label(if *self { "true" } else { "false" }, "", name),
            (_, true) => label(field, "", name),
            (_, false) => {}
        }
    }
}

impl Name for &str {
    const TYPE: &'static str = "str";

    fn tell(&self, field: &str, name: &mut String) {
        label(field, "", name);
        label(self, "", name);
    }
}

impl Name for String {
    const TYPE: &'static str = "string";

    fn tell(&self, field: &str, name: &mut String) {
        self.as_str().tell(field, name);
    }
}

impl<T: Name> Name for Option<T> {
    const TYPE: &'static str = T::TYPE;

    fn tell(&self, field: &str, name: &mut String) {
        if let Some(value) = self {
            let before = name.len();
            value.tell(field, name);
            if name.len() == before {
                label("some", "", name);
            }
        }
    }
}

/// Adds a word, unless it is empty or what the type is called.
#[doc(hidden)]
pub fn label(word: &str, of_type: &str, name: &mut String) {
    if !word.is_empty() && word != of_type {
        name.push('_');
        name.push_str(word);
    }
}

/// What `by` makes of a field.
#[doc(hidden)]
pub fn told<T: Copy, N: Name>(field: &T, by: impl FnOnce(T) -> N, name: &mut String) {
    by(*field).tell("", name);
}

#[cfg(test)]
mod tests {
    use crate::{Name, ir::Elem};

    #[derive(Name)]
    struct Pair {
        rows: u32,
        repeats: u32,
        cols: u32,
        elem: Elem,
        flag: bool,
    }

    #[derive(Name, Clone, Copy)]
    enum Ending {
        Plain,
        Parts(u32),
        OfElem(Elem),
        Both { left: u32, right: bool },
    }

    #[derive(Name)]
    struct Whole {
        pair: Pair,
        ending: Ending,
        other: Option<Ending>,
        flag: Option<bool>,
        name: bool,
        #[name(|square: u32| format!("{square}x{square}"))]
        square: u32,
    }

    fn pair() -> Pair {
        Pair { rows: 1, repeats: 2, cols: 3, elem: Elem::I8, flag: false }
    }

    #[test]
    fn every_field_is_told() {
        assert_eq!(pair().name(), "pair_rows1_repeats2_c3_i8");
        let whole = |ending, other, flag, name| {
            let pair = Pair { flag: true, ..pair() };
            Whole { pair, ending, other, flag, name, square: 9 }.name()
        };
        let of_pair = "whole_rows1_repeats2_c3_i8_flag";
        let plain = whole(Ending::Plain, None, None, false);
        assert_eq!(plain, format!("{of_pair}_plain_9x9"));
        let parts = whole(Ending::Parts(3), Some(Ending::OfElem(Elem::F16)), Some(true), true);
        assert_eq!(parts, format!("{of_pair}_parts3_other_of_elem_f16_flag_name_9x9"));
        // that there is one is told even of what else would be told by silence
        let both = whole(Ending::Both { left: 4, right: true }, None, Some(false), false);
        assert_eq!(both, format!("{of_pair}_both_l4_right_some_9x9"));
    }
}
