//! What the plain-data trait and its derive promise, seen from outside the crate.

use std::mem::MaybeUninit;

use bytemuck::{CheckedBitPattern, NoUninit, Pod, Zeroable};
use procshare::Plain;
use procshare::shm::checked::{InvalidBits, read_checked};
use procshare::shm::plain::Signature;

/// The definition that the tests below vary in one point each.
mod base {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern, Plain)]
    #[repr(C)]
    pub(crate) struct Job {
        pub(crate) id: u32,
        pub(crate) level: u16,
        pub(crate) state: State,
        pub(crate) urgent: bool,
    }

    #[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern, Plain)]
    #[repr(u8)]
    pub(crate) enum State {
        Idle,
        Busy,
        Done = 9,
    }
}

/// One more definition of the same: other visibility, order of variants, spelling of discriminants, attributes.
mod twin {
    use super::*;

    #[derive(NoUninit, CheckedBitPattern, Plain, Copy, Clone)]
    #[plain(name = "Job")]
    #[repr(C, align(4))]
    #[allow(dead_code)]
    pub(crate) struct Work {
        id: u32,
        level: u16,
        r#state: Phase,
        urgent: bool,
    }

    #[derive(NoUninit, CheckedBitPattern, Plain, Copy, Clone)]
    #[plain(name = "State")]
    #[repr(u8)]
    #[allow(dead_code)]
    enum Phase {
        Done = 9,
        r#Idle = 0,
        Busy,
    }
}

macro_rules! job_like {
    ($module:ident, $name:literal, { $($field:ident: $type:ty),* }) => {
        mod $module {
            use super::*;
            #[derive(Clone, Copy, NoUninit, CheckedBitPattern, Plain)]
            #[plain(name = $name)]
            #[repr(C)]
            pub(crate) struct Job { $($field: $type),* }
        }
    };
}

job_like!(same, "Job", { id: u32, level: u16, state: base::State, urgent: bool });
job_like!(type_renamed, "Task", { id: u32, level: u16, state: base::State, urgent: bool });
job_like!(field_renamed, "Job", { key: u32, level: u16, state: base::State, urgent: bool });
job_like!(field_retyped, "Job", { id: i32, level: u16, state: base::State, urgent: bool });
job_like!(field_split, "Job", { id: u32, level: [u8; 2], state: base::State, urgent: bool });
job_like!(fields_swapped, "Job", { id: u32, level: u16, urgent: bool, state: base::State });
job_like!(fields_moved, "Job", { level: u16, state: base::State, urgent: bool, id: u32 });
job_like!(field_added, "Job", { id: u32, level: u16, state: base::State, urgent: bool, more: u32 });
job_like!(field_dropped, "Job", { id: u32, level: u16, states: [u8; 2] });

#[test]
fn unrelated_definitions_of_one_layout_meet() {
    assert_eq!(base::Job::SIGNATURE, twin::Work::SIGNATURE);
    assert_eq!(base::Job::SIGNATURE, same::Job::SIGNATURE);
    assert_eq!(twin::Work::NAME, "Job");
}

#[test]
fn every_change_of_a_struct_is_seen() {
    let all = [
        base::Job::SIGNATURE,
        type_renamed::Job::SIGNATURE,
        field_renamed::Job::SIGNATURE,
        field_retyped::Job::SIGNATURE,
        field_split::Job::SIGNATURE,
        fields_swapped::Job::SIGNATURE,
        fields_moved::Job::SIGNATURE,
        field_added::Job::SIGNATURE,
        field_dropped::Job::SIGNATURE,
    ];
    assert_all_differ(&all);
}

#[test]
fn alignment_is_seen() {
    mod wide {
        use super::*;
        #[derive(Clone, Copy, NoUninit, CheckedBitPattern, Plain)]
        #[repr(C, align(8))]
        pub(crate) struct Job {
            id: u32,
            level: u16,
            state: base::State,
            urgent: bool,
        }
    }
    mod packed {
        use super::*;
        #[derive(Clone, Copy, NoUninit, CheckedBitPattern, Plain)]
        #[repr(C, packed(2))]
        pub(crate) struct Job {
            id: u32,
            level: u16,
            state: base::State,
            urgent: bool,
        }
    }
    assert_eq!(size_of::<base::Job>(), size_of::<wide::Job>());
    assert_eq!(size_of::<base::Job>(), size_of::<packed::Job>());
    assert_all_differ(&[base::Job::SIGNATURE, wide::Job::SIGNATURE, packed::Job::SIGNATURE]);
}

macro_rules! state_like {
    ($module:ident, $repr:ident, { $($variants:tt)* }) => {
        mod $module {
            use super::*;
            #[derive(Clone, Copy, NoUninit, CheckedBitPattern, Plain)]
            #[repr($repr)]
            #[allow(dead_code)]
            pub(crate) enum State { $($variants)* }
        }
    };
}

state_like!(wider, u16, { Idle = 0, Busy = 1, Done = 9 });
state_like!(variant_renamed, u8, { Idle = 0, Busy = 1, Over = 9 });
state_like!(renumbered, u8, { Idle = 0, Busy = 1, Done = 2 });
state_like!(swapped, u8, { Busy = 0, Idle = 1, Done = 9 });
state_like!(variant_added, u8, { Idle = 0, Busy = 1, Done = 9, Lost = 10 });
state_like!(negative, i8, { Idle = 0, Busy = 1, Done = -9 });
state_like!(huge, u64, { Idle = 0, Busy = 1, Done = 0xffff_ffff_ffff_ffff });
state_like!(deep, i64, { Idle = 0, Busy = 1, Done = -1 });

#[test]
fn every_change_of_an_enum_is_seen() {
    assert_all_differ(&[
        base::State::SIGNATURE,
        wider::State::SIGNATURE,
        variant_renamed::State::SIGNATURE,
        renumbered::State::SIGNATURE,
        swapped::State::SIGNATURE,
        variant_added::State::SIGNATURE,
        negative::State::SIGNATURE,
        huge::State::SIGNATURE,
        deep::State::SIGNATURE,
    ]);
}

/// The numbers are part of the format: a change here cuts old programs off from new ones.
#[test]
fn signatures_are_the_same_for_ever() {
    assert_eq!(u8::SIGNATURE.to_bits(), 0xebfc_9988_e35c_527b);
    assert_eq!(u32::SIGNATURE.to_bits(), 0x7424_3b6b_8a4e_9d2e);
    assert_eq!(char::SIGNATURE.to_bits(), 0x3d0b_7abb_515a_8f3d);
    assert_eq!(<[u8; 16]>::SIGNATURE.to_bits(), 0x4277_498e_c2d0_79c9);
    assert_eq!(base::State::SIGNATURE.to_bits(), 0x72f4_05e4_8cc2_4d00);
    assert_eq!(base::Job::SIGNATURE.to_bits(), 0x36a2_9ee1_aadd_9bdb);
}

#[test]
fn primitives_and_arrays_differ() {
    assert_all_differ(&[
        u8::SIGNATURE,
        u16::SIGNATURE,
        u32::SIGNATURE,
        u64::SIGNATURE,
        u128::SIGNATURE,
        i8::SIGNATURE,
        i16::SIGNATURE,
        i32::SIGNATURE,
        i64::SIGNATURE,
        i128::SIGNATURE,
        f32::SIGNATURE,
        f64::SIGNATURE,
        bool::SIGNATURE,
        char::SIGNATURE,
        <[u8; 1]>::SIGNATURE,
        <[u8; 2]>::SIGNATURE,
        <[i8; 2]>::SIGNATURE,
        <[[u8; 2]; 3]>::SIGNATURE,
        <[[u8; 3]; 2]>::SIGNATURE,
    ]);
}

#[test]
fn names_are_what_the_author_wrote() {
    #[derive(Clone, Copy, Pod, Zeroable, Plain)]
    #[plain(
        name = "acme.point-with-a-name-so-long-that-an-array-of-arrays-of-it-does-not-fit-into-the-room-there-is-for-the-names-of-arrays"
    )]
    #[repr(transparent)]
    struct Point([f32; 2]);

    #[derive(Clone, Copy, Pod, Zeroable, Plain)]
    #[repr(C)]
    struct r#struct(u8, i8);

    assert_eq!(u32::NAME, "u32");
    assert_eq!(<[u32; 0]>::NAME, "[u32; 0]");
    assert_eq!(<[[u32; 12]; 1024]>::NAME, "[[u32; 12]; 1024]");
    assert_eq!(<[r#struct; 3]>::NAME, "[struct; 3]");
    assert!(Point::NAME.starts_with("acme.point"));
    assert_eq!(<[Point; 32]>::NAME, format!("[{}; 32]", Point::NAME));
    assert_eq!(<[[Point; 32]; 64]>::NAME, "[_; 64]");
}

#[test]
fn a_signature_by_hand_equals_the_derived_one() {
    let by_hand =
        Signature::of_type("State", 1, 1).variant("Idle", 0).variant("Busy", 1).variant("Done", 9).finish();
    assert_eq!(base::State::SIGNATURE, by_hand);

    #[derive(Clone, Copy, Pod, Zeroable, Plain)]
    #[repr(C)]
    struct Range(u32, u32);
    let by_hand = Signature::of_type("Range", 8, 4)
        .field("0", 0, u32::SIGNATURE)
        .field("1", 4, u32::SIGNATURE)
        .finish();
    assert_eq!(Range::SIGNATURE, by_hand);
}

/// Names that a derive's output must not trip over: a renamed dependency, shadowed primitives and prelude names.
#[test]
fn the_derive_works_in_odd_surroundings() {
    mod odd {
        pub(super) mod elsewhere {
            pub(crate) use procshare::*;
        }
        #[allow(non_camel_case_types, dead_code)]
        struct i128;
        #[allow(non_camel_case_types, dead_code)]
        struct str;
        #[allow(dead_code)]
        mod core {}
        #[allow(dead_code)]
        mod procshare {}

        #[derive(Clone, Copy, bytemuck::NoUninit, bytemuck::CheckedBitPattern, elsewhere::Plain)]
        #[plain(crate = "elsewhere")]
        #[repr(u8)]
        #[allow(dead_code)]
        pub(super) enum State {
            Idle,
            Busy,
            Done = 9,
        }
    }
    assert_eq!(odd::State::SIGNATURE, base::State::SIGNATURE);
}

#[test]
fn valid_bytes_are_read_back() {
    let job = base::Job { id: 0x0403_0201, level: 7, state: base::State::Done, urgent: true };
    let bytes: [u8; 8] = bytemuck::bytes_of(&job).try_into().expect("a job has 8 bytes");
    assert_eq!(read(bytes), Ok(job));
    assert_eq!(read([0xff; 4]), Ok(u32::MAX));
    assert_eq!(read('ß'.to_string().chars().map(u32::from).next().unwrap().to_ne_bytes()), Ok('ß'));
}

#[test]
fn invalid_bytes_are_an_error_that_shows_them() {
    for (at, byte) in [(6, 2), (6, 8), (6, 255), (7, 2), (7, 255)] {
        let mut bytes = [0; 8];
        bytes[at] = byte;
        let error = read::<base::Job, 8>(bytes).expect_err("no such state or bool");
        assert_eq!(error.expected, "Job");
        assert_eq!(error.found(), bytes);
    }
    assert!(read::<char, 4>(0xd800_u32.to_ne_bytes()).is_err(), "a surrogate is no char");
    assert!(read::<char, 4>(0x11_0000_u32.to_ne_bytes()).is_err(), "beyond the last char");
    assert_eq!(
        read::<bool, 1>([0x1f]).unwrap_err().to_string(),
        "found bytes 1f in shared memory, which are no valid `bool`; store a valid value to repair them"
    );
}

#[test]
fn an_error_keeps_the_first_bytes_of_a_large_type() {
    #[derive(Clone, Copy, Debug, PartialEq, NoUninit, CheckedBitPattern, Plain)]
    #[repr(C)]
    struct Flagged {
        rest: [u8; 19],
        flag: bool,
    }
    let mut bytes: [u8; 20] = std::array::from_fn(|i| i as u8);
    let error = read::<Flagged, 20>(bytes).expect_err("19 is no bool");
    assert_eq!(error.found(), &bytes[..16]);
    assert!(error.to_string().contains("0c0d0e0f… (20 bytes) in"), "{error}");
    bytes[19] = 1;
    assert!(read::<Flagged, 20>(bytes).expect("1 is a bool").flag);
}

/// What a reader of shared memory does: copies the bytes, then checks the copy.
fn read<T: Plain, const SIZE: usize>(bytes: [u8; SIZE]) -> Result<T, InvalidBits> {
    assert_eq!(SIZE, size_of::<T>());
    let mut copy = MaybeUninit::<T::Bits>::uninit();
    // SAFETY: both ends are valid for `SIZE` bytes, as asserted (`T::Bits` has the size of `T`), and `copy` is fresh.
    unsafe { copy.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), SIZE) };
    // SAFETY: the line above initialised all bytes of this private copy.
    unsafe { read_checked(&copy) }
}

fn assert_all_differ(all: &[Signature]) {
    for (i, a) in all.iter().enumerate() {
        for (j, b) in all[..i].iter().enumerate() {
            assert_ne!(a, b, "{i} and {j}");
        }
    }
}
