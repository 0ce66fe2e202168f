//! `#[derive(Name)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Attribute, Data, DeriveInput, Error, Expr, Field, Fields, Ident, Result, Type};

pub fn derive(item: &DeriveInput) -> Result<TokenStream> {
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(&item.generics, "what tells its name is no generic type"));
    }
    let tell = match &item.data {
        Data::Struct(data) => {
            let (names, told) = fields(&data.fields)?;
            let pattern = pattern(quote!(Self), &data.fields, &names);
            quote!(let #pattern = self; #told)
        }
        Data::Enum(data) if !data.variants.is_empty() => {
            let variants = data.variants.iter().map(|variant| {
                let (names, told) = fields(&variant.fields)?;
                let (ident, word) = (&variant.ident, snake(&variant.ident));
                let pattern = pattern(quote!(Self::#ident), &variant.fields, &names);
                Ok(quote! {
                    #pattern => {
                        ::tessera_tile::name::label(#word, "", __name);
                        #told
                    }
                })
            });
            let variants = variants.collect::<Result<Vec<_>>>()?;
            quote!(match self { #(#variants)* })
        }
        _ => return Err(Error::new_spanned(item, "a struct or an enum tells its name")),
    };
    let (ident, word) = (&item.ident, snake(&item.ident));
    Ok(quote! {
        impl ::tessera_tile::Name for #ident {
            const TYPE: &'static str = #word;

            fn tell(&self, __field: &str, __name: &mut ::std::string::String) {
                ::tessera_tile::name::label(__field, Self::TYPE, __name);
                #tell
            }
        }
    })
}

/// What takes fields apart: all of them.
fn pattern(path: TokenStream, fields: &Fields, names: &[Ident]) -> TokenStream {
    match fields {
        Fields::Named(all) => {
            let idents = all.named.iter().map(|field| &field.ident);
            quote!(#path { #(#idents: #names),* })
        }
        Fields::Unnamed(_) => quote!(#path(#(#names),*)),
        Fields::Unit => path,
    }
}

/// Names of fields, and the statements that tell them.
fn fields(fields: &Fields) -> Result<(Vec<Ident>, TokenStream)> {
    let names: Vec<Ident> = (0..fields.len()).map(|i| format_ident!("field_{i}")).collect();
    let mut told = TokenStream::new();
    for (field, name) in fields.iter().zip(&names) {
        told.extend(match by(&field.attrs)? {
            Some(by) => quote!(::tessera_tile::name::told(#name, #by, __name);),
            None => {
                let label = field.ident.as_ref().map_or(String::new(), |name| label(name, fields));
                quote!(::tessera_tile::Name::tell(#name, #label, __name);)
            }
        });
    }
    Ok((names, told))
}

/// By what a field is told: `f` of `#[name(f)]`.
fn by(attributes: &[Attribute]) -> Result<Option<Expr>> {
    let mut own = attributes.iter().filter(|attribute| attribute.path().is_ident("name"));
    own.next().map(Attribute::parse_args).transpose()
}

/// What a field is called: a number of a struct by its first letter, if no other number begins with it.
fn label(name: &Ident, fields: &Fields) -> String {
    let text = word(name);
    let is_number =
        |field: &&Field| matches!(&field.ty, Type::Path(path) if path.path.is_ident("u32"));
    let numbers = fields.iter().filter(is_number).filter_map(|field| field.ident.as_ref());
    let first = |name: &Ident| word(name).chars().next();
    let alike: Vec<_> = numbers.filter(|other| first(other) == first(name)).collect();
    match alike[..] {
        [one] if one == name => text.chars().take(1).collect(),
        _ => text,
    }
}

/// An identifier's text.
fn word(name: &Ident) -> String {
    name.to_string().trim_start_matches("r#").to_owned()
}

/// `AttendTile` as `attend_tile`.
fn snake(name: &Ident) -> String {
    let mut words = String::new();
    let mut after_small = false;
    for c in word(name).trim_end_matches('_').chars() {
        if c.is_uppercase() && after_small {
            words.push('_');
        }
        after_small = !c.is_uppercase();
        words.extend(c.to_lowercase());
    }
    words
}
