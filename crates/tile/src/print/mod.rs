//! A program as source text of a GPU's own language.
