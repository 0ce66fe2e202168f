//! The attributes of tessera's kernel language; see the crate `tessera-tile`.
//!
//! They replace what Rust cannot overload (`if`, `for`, `let mut`, assignment, comparison) by calls, and refuse what has no
//! meaning on a device, at its span. Names and types are left to rustc.

mod arguments;
mod body;
mod function;
mod name;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Makes a function a kernel: `fn f(k: &Spec, x: In<F32>, y: Out<F32>, a: Args<Arguments>)`.
///
/// The first parameter is the specialisation; the attribute implements `Record` for its type. The others are buffers, in
/// the order in which they are bound, and at most one argument struct. A buffer of which the specialisation tells
/// something (the type of an `AnyFloat`) is marked `#[of(expression)]`; one that some specialisations lack is an `Option` marked `#[when(expression)]`.
#[proc_macro_attribute]
pub fn kernel(_: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as syn::ItemFn);
    function::kernel(function).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a function one that kernels may call: its body is recorded too.
#[proc_macro_attribute]
pub fn device(_: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as syn::ItemFn);
    function::device(function).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct of `u32`, `i32` and `f32` an argument struct, and beside it the struct of a kernel's values,
/// whose name ends in `Vals`.
#[proc_macro_derive(Args)]
pub fn arguments(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::DeriveInput);
    arguments::derive(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct or an enum tell all its fields in the names of kernels; see `tessera_tile::Name`.
#[proc_macro_derive(Name, attributes(name))]
pub fn name(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::DeriveInput);
    name::derive(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}
