//! `#[managed]`: calls by name for the methods of a type, and a proxy with the same methods.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::parse::Parser;
use syn::{
    Attribute, Error, FnArg, GenericArgument, ImplItem, ImplItemFn, ItemImpl, LitStr, Pat, Path,
    PathArguments, Result, ReturnType, Type, Visibility, parse_quote,
};

use crate::task::borrows;

/// One method that can be called by its name.
struct Method<'a> {
    name: &'a Ident,
    docs: Vec<&'a Attribute>,
    arguments: Vec<&'a Ident>,
    types: Vec<&'a Type>,
    /// What a call brings: of a `Result` what is in its `Ok`.
    output: Type,
    can_fail: bool,
}

/// What the attribute says.
struct Options {
    proxy: Option<(Visibility, Ident)>,
    krate: Path,
}

pub(crate) fn expand(arguments: TokenStream, block: &ItemImpl) -> Result<TokenStream> {
    let options = parse(arguments)?;
    if let Some((_, path, _)) = &block.trait_ {
        return refuse(path, "`managed` goes on the type's own impl block");
    }
    if !block.generics.params.is_empty() {
        return refuse(&block.generics, "a managed type cannot be generic: clients know it by one name");
    }
    let mut methods = Vec::new();
    for item in &block.items {
        if let ImplItem::Fn(function) = item
            && !matches!(function.vis, Visibility::Inherited)
            && let Some(FnArg::Receiver(_)) = function.sig.inputs.first()
        {
            methods.push(Method::read(function)?);
        }
    }
    if methods.is_empty() {
        return refuse(
            &block.self_ty,
            "no method can be called by its name: those with `self` that are `pub`, or `pub(..)`, can",
        );
    }
    let (of, krate, passed) = (&block.self_ty, &options.krate, passed());
    let arms = methods.iter().map(|method| method.arm(krate));
    let unknown = format!("a {} has no method", of.to_token_stream());
    let proxy = options.proxy.map(|(visibility, name)| {
        let about = format!("A proxy of a [`{}`] that a manager's server has.", of.to_token_stream());
        let methods = methods.iter().map(|method| method.proxy(krate));
        quote! {
            #[doc = #about]
            #[derive(Clone, Debug)]
            #visibility struct #name {
                object: #krate::manager::Object,
            }

            impl #name {
                /// Takes an object for one of this type; if it is another one, its methods will say so.
                pub fn from_object(object: #krate::manager::Object) -> Self {
                    Self { object }
                }

                /// The object, without its type.
                pub fn object(&self) -> &#krate::manager::Object {
                    &self.object
                }

                #(#methods)*
            }
        }
    });
    Ok(quote! {
        #block

        impl #krate::manager::Managed for #of {
            fn call(
                &mut self,
                method: &str,
                #passed: &mut #krate::manager::CallArguments<'_>,
            ) -> ::core::result::Result<#krate::manager::Returned, #krate::manager::CallError> {
                match method {
                    #(#arms)*
                    other => ::core::result::Result::Err(#krate::manager::CallError(
                        ::std::format!("{} '{}'", #unknown, other),
                    )),
                }
            }
        }

        #proxy
    })
}

fn parse(arguments: TokenStream) -> Result<Options> {
    let (mut proxy, mut krate) = (None, None);
    let parser = syn::meta::parser(|meta| {
        if meta.path.is_ident("proxy") && proxy.is_none() {
            let value = meta.value()?;
            proxy = Some((value.parse::<Visibility>()?, value.parse::<Ident>()?));
            Ok(())
        } else if meta.path.is_ident("crate") && krate.is_none() {
            krate = Some(meta.value()?.parse::<LitStr>()?.parse_with(Path::parse_mod_style)?);
            Ok(())
        } else {
            Err(meta.error("`managed` takes `proxy = Name` and `crate = \"..\"`, each once"))
        }
    });
    parser.parse2(arguments)?;
    Ok(Options { proxy, krate: krate.unwrap_or_else(|| parse_quote!(::procshare)) })
}

/// What the arguments are called, so that no parameter of a method is called the same.
fn passed() -> Ident {
    Ident::new("arguments", Span::mixed_site())
}

fn refuse<T>(place: &dyn ToTokens, why: &str) -> Result<T> {
    Err(Error::new_spanned(place.to_token_stream(), why))
}

impl<'a> Method<'a> {
    fn read(function: &'a ImplItemFn) -> Result<Self> {
        let signature = &function.sig;
        if let Some(keyword) = &signature.asyncness {
            return refuse(keyword, "everybody waits while a method runs: it cannot be async");
        }
        if let Some(keyword) = &signature.unsafety {
            return refuse(keyword, "anybody may call a managed method: it cannot be unsafe");
        }
        if !signature.generics.params.is_empty() {
            return refuse(&signature.generics, "a managed method cannot be generic: name the types");
        }
        let (mut arguments, mut types) = (Vec::new(), Vec::new());
        for input in &signature.inputs {
            match input {
                FnArg::Receiver(receiver) if receiver.reference.is_none() => {
                    return refuse(receiver, "the object stays where it is: take `&self` or `&mut self`");
                }
                FnArg::Receiver(_) => {}
                FnArg::Typed(typed) => {
                    let Pat::Ident(pattern) = &*typed.pat else {
                        return refuse(&typed.pat, "a parameter of a managed method is a name");
                    };
                    if borrows(&typed.ty) || matches!(&*typed.ty, Type::ImplTrait(_)) {
                        return refuse(&typed.ty, "parameters arrive as data: use String or Vec<T>");
                    }
                    arguments.push(&pattern.ident);
                    types.push(&*typed.ty);
                }
            }
        }
        let docs = function.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).collect();
        let (output, can_fail) = output(&signature.output);
        Ok(Method { name: &signature.ident, docs, arguments, types, output, can_fail })
    }

    /// How the server does a call.
    fn arm(&self, krate: &Path) -> TokenStream {
        let Method { name, arguments, types, .. } = self;
        let (text, passed) = (name.to_string(), passed());
        let fails = self.can_fail.then(|| {
            quote!(.map_err(|error| #krate::manager::CallError(::std::string::ToString::to_string(&error)))?)
        });
        quote! {
            #text => {
                #(let #arguments: #types = #passed.take()?;)*
                #passed.end()?;
                #krate::manager::Returned::new(&self.#name(#(#arguments),*) #fails)
            }
        }
    }

    /// How a client asks for it.
    fn proxy(&self, krate: &Path) -> TokenStream {
        let Method { name, docs, arguments, types, output, .. } = self;
        let text = name.to_string();
        quote! {
            #(#docs)*
            ///
            /// # Errors
            ///
            /// `Remote` if the method fails, `Disconnected` if the server is gone.
            pub fn #name(&self, #(#arguments: #types),*) -> #krate::manager::ManagerResult<#output> {
                self.object.call(#text, &[#(&#arguments as &dyn #krate::manager::Argument),*])
            }
        }
    }
}

/// What a call brings, and whether it can fail.
fn output(output: &ReturnType) -> (Type, bool) {
    let ReturnType::Type(_, of) = output else { return (parse_quote!(()), false) };
    if let Type::Path(path) = &**of
        && let Some(last) = path.path.segments.last()
        && last.ident == "Result"
        && let PathArguments::AngleBracketed(generics) = &last.arguments
        && let Some(GenericArgument::Type(done)) = generics.args.first()
    {
        return (done.clone(), true);
    }
    ((**of).clone(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(source: &str) -> Result<String> {
        expand(TokenStream::new(), &syn::parse_str(source).unwrap()).map(|tokens| tokens.to_string())
    }

    #[test]
    fn what_cannot_be_called_by_name_is_refused_with_the_way_out() {
        for (source, says) in [
            ("impl Trait for T { fn f(&self) {} }", "own impl"),
            ("impl<X> T<X> { pub fn f(&self) {} }", "generic"),
            ("impl T { fn f(&self) {} }", "no method"),
            ("impl T { pub fn new() -> T { T } }", "no method"),
            ("impl T { pub fn f(self) {} }", "&self"),
            ("impl T { pub async fn f(&self) {} }", "async"),
            ("impl T { pub unsafe fn f(&self) {} }", "unsafe"),
            ("impl T { pub fn f<X>(&self, x: X) {} }", "generic"),
            ("impl T { pub fn f(&self, x: &str) {} }", "String"),
            ("impl T { pub fn f(&self, (a, b): (u8, u8)) {} }", "name"),
        ] {
            let said = expanded(source).unwrap_err().to_string();
            assert!(said.contains(says), "{source}: {said}");
        }
        for wrong in [quote!(proxy), quote!(proxy = A, proxy = B), quote!(name = "a")] {
            assert!(parse(wrong).is_err());
        }
    }

    #[test]
    fn private_methods_are_not_exposed() {
        let source = "impl T { pub fn new() -> T { T } pub fn seen(&self) {} fn hidden(&self) {} pub(crate) fn ours(&self) {} }";
        let code = expanded(source).unwrap();
        assert!(
            code.contains("\"seen\"") && code.contains("\"ours\"") && !code.contains("\"hidden\""),
            "{code}"
        );
    }
}
