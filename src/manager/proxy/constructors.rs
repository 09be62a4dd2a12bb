//! What all proxies have in common, by one macro.

/// Makes a proxy type's constructors and its way through values and handles.
///
/// `kinds` are the names on the wire that the type takes; the first one is made.
macro_rules! proxy {
    ($name:ident $(<$($generic:ident),+>)?, $kind:literal, ($($argument:ident: $of:ty),*)) => {
        impl $(<$($generic),+>)? $name $(<$($generic),+>)? {
            /// Makes a new object under a name, which keeps it until [`Manager::unlink`](crate::manager::Manager::unlink).
            ///
            /// # Errors
            ///
            /// [`ManagerError::AlreadyExists`](crate::manager::ManagerError::AlreadyExists) if the name is taken.
            pub fn create(
                manager: &crate::manager::Manager,
                name: &str
                $(, $argument: $of)*
            ) -> crate::manager::ManagerResult<Self> {
                Self::made(manager, "create", Some(name) $(, $argument)*)
            }

            /// Opens the object of this name.
            ///
            /// # Errors
            ///
            /// [`ManagerError::NotFound`](crate::manager::ManagerError::NotFound), or
            /// [`ManagerError::WrongKind`](crate::manager::ManagerError::WrongKind) if it is of another kind.
            pub fn open(manager: &crate::manager::Manager, name: &str) -> crate::manager::ManagerResult<Self> {
                let draft = manager.call("open").arg($kind).arg(name);
                manager.object(draft).map(Self::from_target)
            }

            /// Opens the object of this name, or makes it; of many that try at once exactly one makes it.
            ///
            /// # Errors
            ///
            /// [`ManagerError::WrongKind`](crate::manager::ManagerError::WrongKind) if it exists and is of another kind.
            pub fn open_or_create(
                manager: &crate::manager::Manager,
                name: &str
                $(, $argument: $of)*
            ) -> crate::manager::ManagerResult<Self> {
                Self::made(manager, "open_or_create", Some(name) $(, $argument)*)
            }

            /// Makes a new object without a name: it lives as long as a proxy or a stored value refers to it.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`](crate::manager::ManagerError::Disconnected), and limits of the server.
            pub fn anonymous(
                manager: &crate::manager::Manager
                $(, $argument: $of)*
            ) -> crate::manager::ManagerResult<Self> {
                Self::made(manager, "create", None $(, $argument)*)
            }

            fn made(
                manager: &crate::manager::Manager,
                how: &'static str,
                name: Option<&str>
                $(, $argument: $of)*
            ) -> crate::manager::ManagerResult<Self> {
                let draft = manager.call(how).arg($kind).arg(&name)$(.arg(&$argument))*;
                manager.object(draft).map(Self::from_target)
            }
        }

        proxy!(travels $name $(<$($generic),+>)?);
    };

    (travels $name:ident $(<$($generic:ident),+>)?) => {
        impl $(<$($generic),+>)? $name $(<$($generic),+>)? {
            /// Takes an object that came without its type for one of this type.
            ///
            /// If it is another one, its methods will say so.
            pub fn from_object(object: crate::manager::Object) -> Self {
                Self::from_target(object)
            }

            /// The object, without its type.
            pub fn object(&self) -> &crate::manager::Object {
                &self.object
            }
        }

        impl $(<$($generic),+>)? Clone for $name $(<$($generic),+>)? {
            fn clone(&self) -> Self {
                Self::from_target(self.object.clone())
            }
        }

        impl $(<$($generic),+>)? std::fmt::Debug for $name $(<$($generic),+>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("number", &self.object.number()).finish_non_exhaustive()
            }
        }

        /// Inside a value of the same manager, as a reference.
        impl $(<$($generic),+>)? serde::Serialize for $name $(<$($generic),+>)? {
            fn serialize<Serializer: serde::Serializer>(
                &self,
                serializer: Serializer,
            ) -> Result<Serializer::Ok, Serializer::Error> {
                self.object.serialize(serializer)
            }
        }

        impl<'de $(, $($generic),+)?> serde::Deserialize<'de> for $name $(<$($generic),+>)? {
            fn deserialize<Deserializer: serde::Deserializer<'de>>(
                deserializer: Deserializer,
            ) -> Result<Self, Deserializer::Error> {
                crate::manager::Object::deserialize(deserializer).map(Self::from_target)
            }
        }
    };
}

/// Makes methods twice: done at once, on the proxy, and as calls for batches and transactions, on what its `calls()` gives.
macro_rules! methods {
    ($proxy:ident, $calls:ident, <$($generic:ident),*>, {$(
        $(#[$doc:meta])*
        $name:ident $(<$($own:ident: $bound:path),*>)? ($($argument:ident: $of:ty),*) -> $result:ty = $method:literal, $decode:expr;
    )*}) => {
        impl<$($generic: serde::Serialize + serde::de::DeserializeOwned),*> $proxy<$($generic),*> {
            /// The same methods as values: to be sent together, or in a transaction.
            pub fn calls(&self) -> $calls<'_, $($generic),*> {
                $calls { proxy: self }
            }

            $($(#[$doc])*
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`](crate::manager::ManagerError::Disconnected); those of the object; and of
            /// values that are of another type.
            pub fn $name $(<$($own: $bound + ?Sized),*>)? (&self $(, $argument: $of)*)
                -> crate::manager::ManagerResult<$result>
            {
                self.calls().$name($($argument),*)?.run()
            })*
        }

        #[doc = concat!("The methods of [`", stringify!($proxy), "`] as calls.")]
        pub struct $calls<'a, $($generic),*> {
            proxy: &'a $proxy<$($generic),*>,
        }

        impl<'a, $($generic: serde::Serialize + serde::de::DeserializeOwned),*> $calls<'a, $($generic),*> {
            $($(#[$doc])*
            ///
            /// # Errors
            ///
            /// If an argument cannot be written.
            pub fn $name $(<$($own: $bound + ?Sized),*>)? (&self $(, $argument: $of)*)
                -> crate::manager::ManagerResult<crate::manager::Call<'a, $result>>
            {
                self.proxy.object.target().call($method)$(.arg(&$argument))*.reads($decode)
            })*
        }
    };
}

/// Makes the constructors of a collection that has content from the beginning.
macro_rules! filled {
    ($name:ident <$($generic:ident),+>, $kind:literal, $content:ident: $of:ty) => {
        impl<$($generic: serde::Serialize),+> $name<$($generic),+> {
            /// Makes a new object under a name, with content: nobody sees it without.
            ///
            /// # Errors
            ///
            /// As [`create`](Self::create), and limits of the server.
            pub fn create_with(
                manager: &crate::manager::Manager,
                name: &str,
                $content: $of,
            ) -> crate::manager::ManagerResult<Self> {
                Self::filled(manager, "create", Some(name), $content)
            }

            /// Opens the object of this name as it is, or makes it with content; of many that try at once exactly one makes it.
            ///
            /// # Errors
            ///
            /// As [`open_or_create`](Self::open_or_create), and limits of the server.
            pub fn open_or_create_with(
                manager: &crate::manager::Manager,
                name: &str,
                $content: $of,
            ) -> crate::manager::ManagerResult<Self> {
                Self::filled(manager, "open_or_create", Some(name), $content)
            }

            /// Makes a new object without a name, with content.
            ///
            /// # Errors
            ///
            /// As [`anonymous`](Self::anonymous).
            pub fn anonymous_with(
                manager: &crate::manager::Manager,
                $content: $of,
            ) -> crate::manager::ManagerResult<Self> {
                Self::filled(manager, "create", None, $content)
            }

            fn filled(
                manager: &crate::manager::Manager,
                how: &'static str,
                name: Option<&str>,
                content: $of,
            ) -> crate::manager::ManagerResult<Self> {
                manager.object(manager.call(how).arg($kind).arg(&name).arg(content)).map(Self::from_target)
            }
        }
    };
}
