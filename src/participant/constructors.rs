//! What every object has, alike for all: constructors, on the object itself and on its builder, and a handle.

/// Gives an object `builder`, `create`, `open`, `open_or_create`, `anonymous` and `unlink`, and its builder the same.
///
/// `noun` is what messages and docs call the object, `made` how a new one is made ("free"), `errors` what else a creator
/// must expect; the arguments in parentheses are the creator's, and the expression makes the object's `Init` of them.
macro_rules! constructors {
    (
        impl[$($generics:tt)*] $object:ty,
        noun: $noun:literal,
        made: $made:literal,
        $(errors: $errors:literal,)?
        ($($argument:ident: $type:ty),*) => $init:expr
    ) => {
        $crate::participant::travels!(impl[$($generics)*] $object);

        impl<$($generics)*> $object {
            /// Options: space, lifetime, permissions, read-only.
            pub fn builder() -> $crate::Builder<$object> {
                $crate::Builder::new()
            }

            #[doc = concat!("Makes the ", $noun, " `name`", $made, ".")]
            ///
            /// # Errors
            ///
            $(#[doc = concat!($errors, ";")])?
            /// [`AlreadyExists`](crate::Error::AlreadyExists) if the name is taken,
            /// [`NoSpace`](crate::Error::NoSpace) if there is no memory for it; else see
            /// [`Builder::create_with`](crate::Builder::create_with).
            pub fn create(name: &str $(, $argument: $type)*) -> $crate::Result<Self> {
                Self::builder().create(name $(, $argument)*)
            }

            #[doc = concat!("Opens the ", $noun, " `name`, as it was made.")]
            ///
            /// # Errors
            ///
            /// [`NotFound`](crate::Error::NotFound) if there is none, [`WrongKind`](crate::Error::WrongKind) or
            /// [`WrongType`](crate::Error::WrongType) if something else has the name; else see
            /// [`Builder::open`](crate::Builder::open).
            pub fn open(name: &str) -> $crate::Result<Self> {
                Self::builder().open(name)
            }

            #[doc = concat!("Opens the ", $noun, " `name`, or makes it", $made, "; an existing one stays as it is.")]
            ///
            /// # Errors
            ///
            /// As [`create`](Self::create) and [`open`](Self::open), but for a taken or missing name.
            pub fn open_or_create(name: &str $(, $argument: $type)*) -> $crate::Result<Self> {
                Self::builder().open_or_create(name $(, $argument)*)
            }

            #[doc = concat!("Makes one without a name", $made, ", for threads, forked children, and whoever receives its handle.")]
            ///
            /// # Errors
            ///
            /// As [`create`](Self::create).
            pub fn anonymous($($argument: $type),*) -> $crate::Result<Self> {
                Self::builder().anonymous($($argument),*)
            }

            /// Removes the name; whoever is attached keeps using the object, and whoever comes later makes another one.
            ///
            /// # Errors
            ///
            /// See [`Builder::unlink`](crate::Builder::unlink).
            pub fn unlink(name: &str) -> $crate::Result<()> {
                Self::builder().unlink(name)
            }
        }

        impl<$($generics)*> $crate::Builder<$object> {
            #[doc = concat!("Makes the ", $noun, " `name`", $made, ".")]
            ///
            /// # Errors
            ///
            $(#[doc = concat!($errors, ";")])?
            /// else as [`create_with`](Self::create_with).
            pub fn create(self, name: &str $(, $argument: $type)*) -> $crate::Result<$object> {
                self.create_with(name, $init)
            }

            #[doc = concat!("Opens the ", $noun, " `name`, or makes it", $made, ".")]
            ///
            /// # Errors
            ///
            $(#[doc = concat!($errors, ";")])?
            /// else as [`open_or_create_with`](Self::open_or_create_with).
            pub fn open_or_create(self, name: &str $(, $argument: $type)*) -> $crate::Result<$object> {
                self.open_or_create_with(name, $init)
            }

            #[doc = concat!("Makes one without a name", $made, ".")]
            ///
            /// # Errors
            ///
            $(#[doc = concat!($errors, ";")])?
            /// else as [`anonymous_with`](Self::anonymous_with).
            pub fn anonymous(self $(, $argument: $type)*) -> $crate::Result<$object> {
                self.anonymous_with($init)
            }
        }
    };
}

/// Gives an object `handle`, and serialisation as its handle; makes it one of this crate's.
macro_rules! travels {
    (impl[$($generics:tt)*] $object:ty) => {
        impl<$($generics)*> $object {
            /// Its address as data, for another process; serialising the object serialises this.
            pub fn handle(&self) -> $crate::Handle<$object> {
                $crate::Handle::of(self)
            }
        }

        impl<$($generics)*> serde::Serialize for $object {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(&self.handle(), serializer)
            }
        }

        impl<$($generics)*> $crate::participant::sealed::Sealed for $object {}
    };
}

pub(crate) use constructors;
pub(crate) use travels;
