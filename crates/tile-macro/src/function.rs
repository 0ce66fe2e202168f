//! A kernel function and what is generated beside it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{
    Error, Expr, FnArg, GenericArgument, Ident, ItemFn, Meta, Pat, PatType, PathArguments, Result,
    ReturnType, Type, parse_quote, spanned::Spanned,
};

use crate::body;

/// A function that kernels call.
pub fn device(mut function: ItemFn) -> Result<TokenStream> {
    plain(&function)?;
    let unit = matches!(function.sig.output, ReturnType::Default);
    body::rewrite(&mut function.block, unit)?;
    Ok(quote!(#function))
}

/// A kernel.
pub fn kernel(mut function: ItemFn) -> Result<TokenStream> {
    plain(&function)?;
    if !matches!(function.sig.output, ReturnType::Default) {
        let message = "a kernel gives nothing back; it writes to its buffers";
        return Err(Error::new_spanned(&function.sig.output, message));
    }
    if !function.sig.generics.params.is_empty() {
        let message = "a kernel is specialised by its first parameter, not by generics";
        return Err(Error::new_spanned(&function.sig.generics, message));
    }
    body::rewrite(&mut function.block, true)?;
    let mut inputs = function.sig.inputs.iter_mut();
    let (spec, spec_type) = specialisation(inputs.next(), &function.sig.ident)?;
    let mut parameters = Vec::new();
    for input in inputs {
        let FnArg::Typed(input) = input else {
            return Err(Error::new_spanned(input, "a kernel is a function, not a method"));
        };
        parameters.push(Parameter::take(input)?);
    }
    if parameters.iter().any(|parameter| parameter.of.is_some() || parameter.when.is_some()) {
        // used by the attributes, if not by the body
        function.block.stmts.insert(0, parse_quote!(let _ = #spec;));
    }
    let names = parameters.iter().map(|parameter| &parameter.name);
    let declarations = parameters.iter().map(Parameter::declaration);
    let name = &function.sig.ident;
    Ok(quote! {
        // they are its buffers
        #[allow(clippy::too_many_arguments)]
        #function

        impl ::tessera_tile::Record for #spec_type {
            fn record(&self) -> Result<::tessera_tile::Program, ::tessera_tile::BuildError> {
                #[allow(unused_variables)]
                let #spec = self;
                let _ = #spec;
                let name = ::tessera_tile::Name::name(self);
                let threads = ::tessera_tile::Spec::threads(self);
                ::tessera_tile::record::record(name, threads, || {
                    #(#declarations)*
                    #name(self, #(#names),*);
                })
            }
        }
    })
}

/// Refuses functions that cannot be recorded.
fn plain(function: &ItemFn) -> Result<()> {
    let sig = &function.sig;
    let refused = [
        sig.asyncness.map(|token| token.span),
        sig.unsafety.map(|token| token.span),
        sig.constness.map(|token| token.span),
        sig.variadic.as_ref().map(Spanned::span),
    ];
    match refused.into_iter().flatten().next() {
        Some(span) => Err(Error::new(span, "a kernel is a plain function")),
        None => Ok(()),
    }
}

/// Name and type of the first parameter, `k: &Spec`.
fn specialisation(input: Option<&mut FnArg>, name: &Ident) -> Result<(Ident, Type)> {
    let message = "the first parameter is the specialisation, `k: &Spec`";
    let Some(FnArg::Typed(PatType { pat, ty, .. })) = input else {
        return Err(Error::new_spanned(name, message));
    };
    match (&**pat, &**ty) {
        (Pat::Ident(pat), Type::Reference(reference)) if reference.mutability.is_none() => {
            Ok((pat.ident.clone(), (*reference.elem).clone()))
        }
        _ => Err(Error::new_spanned(ty, message)),
    }
}

/// A parameter after the first.
struct Parameter {
    name: Ident,
    ty: Type,
    of: Option<Expr>,
    when: Option<Expr>,
}

impl Parameter {
    /// Reads one, and takes off the attributes that are not Rust's.
    fn take(input: &mut PatType) -> Result<Self> {
        let Pat::Ident(pat) = &*input.pat else {
            return Err(Error::new_spanned(&input.pat, "a parameter has a name"));
        };
        let (name, mut ty) = (pat.ident.clone(), (*input.ty).clone());
        let (mut of, mut when) = (None, None);
        for attribute in std::mem::take(&mut input.attrs) {
            let Meta::List(list) = &attribute.meta else {
                return Err(Error::new_spanned(attribute, "of(...) and when(...) are known"));
            };
            let slot = match () {
                () if list.path.is_ident("of") => &mut of,
                () if list.path.is_ident("when") => &mut when,
                () => {
                    return Err(Error::new_spanned(list, "of(...) and when(...) are known"));
                }
            };
            *slot = Some(list.parse_args()?);
        }
        if when.is_some() {
            ty = optional(&ty)?;
        }
        Ok(Self { name, ty, of, when })
    }

    /// The statement that declares it.
    fn declaration(&self) -> TokenStream {
        let Self { name, ty, of, when } = self;
        let of = of.as_ref().map_or_else(
            || quote!(::core::default::Default::default()),
            |of| quote!(::core::convert::From::from(#of)),
        );
        let declare = quote_spanned! { ty.span() =>
            <#ty as ::tessera_tile::Parameter>::declare(stringify!(#name), #of)
        };
        match when {
            Some(when) => quote!(let #name = if #when { Some(#declare) } else { None };),
            None => quote!(let #name = #declare;),
        }
    }
}

/// What is in an `Option`.
fn optional(ty: &Type) -> Result<Type> {
    if let Type::Path(path) = ty
        && let Some(last) = path.path.segments.last()
        && last.ident == "Option"
        && let PathArguments::AngleBracketed(arguments) = &last.arguments
        && let Some(GenericArgument::Type(inner)) = arguments.args.first()
    {
        return Ok(inner.clone());
    }
    Err(Error::new_spanned(ty, "a buffer that may be missing is an Option"))
}
