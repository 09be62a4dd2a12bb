//! Each refusal by its message, next to the nearest definition that is accepted.

use syn::parse_quote;

use super::*;

fn accepted(input: DeriveInput) -> String {
    expand(&input).expect("this definition is fine").to_string().replace(' ', "")
}

fn refusal(input: DeriveInput) -> String {
    expand(&input).expect_err("this definition must be refused").to_string()
}

#[test]
fn a_struct_folds_each_field() {
    let code = accepted(parse_quote! {
        #[repr(C, packed(2))]
        struct Job { id: u32, r#type: Kind }
    });
    assert!(code.contains("impl::procshare::PlainforJob"), "{code}");
    for call in [
        r#".field("id",::core::mem::offset_of!(Job,id),<u32as::procshare::Plain>::SIGNATURE)"#,
        r#".field("type",::core::mem::offset_of!(Job,r#type),<Kindas::procshare::Plain>::SIGNATURE)"#,
    ] {
        assert!(code.contains(call), "{call} in {code}");
    }
}

#[test]
fn an_enum_folds_each_variant() {
    let code = accepted(parse_quote!(
        #[repr(i16)]
        enum State {
            Idle = -1,
            Busy,
        }
    ));
    assert!(code.contains(r#".variant("Idle",State::Idleas::core::primitive::i128)"#), "{code}");
    assert!(code.contains(r#".variant("Busy",State::Busyas::core::primitive::i128)"#), "{code}");
}

#[test]
fn name_and_crate_can_be_chosen() {
    let code = accepted(parse_quote! {
        #[plain(name = "acme.job", crate = "crate::shared")]
        #[repr(transparent)]
        struct Job(u32);
    });
    assert!(code.contains("implcrate::shared::PlainforJob"), "{code}");
    assert!(code.contains(r#"str="acme.job";"#), "{code}");
    assert!(!code.contains("procshare"), "{code}");
}

#[test]
fn without_attributes_the_name_is_the_bare_identifier() {
    let code = accepted(parse_quote!(
        #[repr(C)]
        struct r#match {
            x: u8,
        }
    ));
    assert!(code.contains(r#"str="match";"#), "{code}");
}

#[test]
fn a_struct_needs_a_repr() {
    let why = refusal(parse_quote!(
        struct Job {
            id: u32,
        }
    ));
    assert!(why.contains("add `#[repr(C)]` (or `#[repr(transparent)]`) to `Job`"), "{why}");
    for input in [
        parse_quote!(
            #[repr(Rust)]
            struct Job(u8);
        ),
        parse_quote!(
            #[repr(packed)]
            struct Job(u8);
        ),
    ] {
        assert_eq!(refusal(input), why);
    }
}

#[test]
fn an_enum_needs_a_repr_of_fixed_width() {
    for input in [
        parse_quote!(
            enum State {
                Idle,
            }
        ),
        parse_quote!(
            #[repr(C)]
            enum State {
                Idle,
            }
        ),
        parse_quote!(
            #[repr(usize)]
            enum State {
                Idle,
            }
        ),
        parse_quote!(
            #[repr(u128)]
            enum State {
                Idle,
            }
        ),
    ] {
        let why = refusal(input);
        assert!(why.contains("add `#[repr(u8)]`") && why.contains("`State`"), "{why}");
    }
    accepted(parse_quote!(
        #[repr(C, u8)]
        enum State {
            Idle,
        }
    ));
    for repr in ENUM_REPRS {
        let repr = syn::Ident::new(repr, proc_macro2::Span::call_site());
        accepted(parse_quote!(
            #[repr(#repr)]
            enum State {
                Idle,
            }
        ));
    }
}

#[test]
fn an_enum_with_data_is_refused() {
    for input in [
        parse_quote!(
            #[repr(u8)]
            enum State {
                Idle,
                Busy(u8),
            }
        ),
        parse_quote!(
            #[repr(u8)]
            enum State {
                Idle,
                Busy { since: u8 },
            }
        ),
        parse_quote!(
            #[repr(u8)]
            enum State {
                Idle,
                Busy(),
            }
        ),
    ] {
        let why = refusal(input);
        assert!(why.contains("an enum whose variants have fields: `Busy`"), "{why}");
    }
}

#[test]
fn a_union_is_refused() {
    let why = refusal(parse_quote!(#[repr(C)] union Either { a: u32, b: f32 }));
    assert!(why.contains("for a union"), "{why}");
}

#[test]
fn generics_are_refused() {
    for input in [
        parse_quote!(
            #[repr(C)]
            struct Job<T> {
                id: T,
            }
        ),
        parse_quote!(
            #[repr(C)]
            struct Job<const N: usize> {
                id: [u8; N],
            }
        ),
        parse_quote!(
            #[repr(C)]
            struct Job<'a> {
                id: &'a u8,
            }
        ),
        parse_quote!(
            #[repr(C)]
            struct Job
            where
                u8: Copy,
            {
                id: u8,
            }
        ),
    ] {
        let why = refusal(input);
        assert!(why.contains("generic type"), "{why}");
    }
}

#[test]
fn attributes_are_checked() {
    let why = |input| refusal(input);
    let unknown = why(parse_quote!(
        #[plain(nam = "x")]
        #[repr(C)]
        struct Job(u8);
    ));
    assert!(unknown.contains("`plain` takes `name = \"..\"` and `crate = \"..\"`"), "{unknown}");
    let twice = why(parse_quote!(
        #[plain(name = "x")]
        #[plain(name = "y")]
        #[repr(C)]
        struct Job(u8);
    ));
    assert!(twice.contains("given twice"), "{twice}");
    let on_field = why(parse_quote!(
        #[repr(C)]
        struct Job(#[plain(name = "x")] u8);
    ));
    assert!(on_field.contains("on the type"), "{on_field}");
    let on_variant = why(parse_quote!(
        #[repr(u8)]
        enum State {
            #[plain(name = "x")]
            Idle,
        }
    ));
    assert!(on_variant.contains("on the type"), "{on_variant}");
    for name in ["", "two\nlines", "nul\0"] {
        let bad = why(parse_quote!(
            #[plain(name = #name)]
            #[repr(C)]
            struct Job(u8);
        ));
        assert!(bad.contains("must not be empty or hold control characters"), "{name:?}: {bad}");
    }
}
