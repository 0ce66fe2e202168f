//! `#[derive(Args)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, Result, Type};

pub fn derive(item: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &item.data else {
        return Err(Error::new_spanned(item, "arguments of a kernel are a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(&data.fields, "arguments have names"));
    };
    let (mut names, mut types) = (Vec::new(), Vec::new());
    for field in &fields.named {
        let known = matches!(&field.ty, Type::Path(path)
            if ["u32", "i32", "f32"].iter().any(|name| path.path.is_ident(name)));
        if !known {
            let message = "an argument is a u32, an i32 or an f32";
            return Err(Error::new_spanned(&field.ty, message));
        }
        names.extend(&field.ident);
        types.push(&field.ty);
    }
    let (name, visibility) = (&item.ident, &item.vis);
    let vals = format_ident!("{name}Vals");
    let doc = format!("[`{name}`] within a kernel.");
    Ok(quote! {
        #[doc = #doc]
        #[allow(missing_docs)]
        #[derive(Clone, Copy)]
        #visibility struct #vals {
            #(pub #names: ::tessera_tile::Val<#types>,)*
        }

        impl ::tessera_tile::Arguments for #name {
            type Vals = #vals;

            fn fields() -> Vec<::tessera_tile::ir::Field> {
                vec![#(::tessera_tile::ir::Field {
                    name: stringify!(#names),
                    ty: <#types as ::tessera_tile::Scalar>::TYPE,
                },)*]
            }

            fn words(&self) -> Vec<u32> {
                vec![#(::tessera_tile::ArgumentField::word(self.#names),)*]
            }

            fn declare() -> #vals {
                #vals { #(#names: ::tessera_tile::Val::field(stringify!(#names)),)* }
            }
        }
    })
}
