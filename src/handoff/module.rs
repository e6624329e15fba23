//! A module and its version.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Which code a state belongs to, and which version of it: `key@2`.
///
/// That text is what it is printed as, read from, and serialised as. The name is any text but the empty one, also one
/// with an `@`: the last one counts. Versions begin at 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleVsn {
    module: Cow<'static, str>,
    vsn: u32,
}

impl ModuleVsn {
    /// A module that is known when the code is compiled; meant for a `const`.
    ///
    /// # Panics
    /// The name is empty, or the version 0. As a `const` it then does not compile.
    pub const fn new(module: &'static str, vsn: u32) -> Self {
        assert!(!module.is_empty(), "a module has a name");
        assert!(vsn > 0, "versions begin at 1");
        ModuleVsn { module: Cow::Borrowed(module), vsn }
    }

    /// A module whose name is known only now.
    ///
    /// # Errors
    /// The name is empty, or the version 0.
    pub fn named(module: impl Into<Cow<'static, str>>, vsn: u32) -> Result<Self, ModuleError> {
        let module = module.into();
        if module.is_empty() || vsn == 0 {
            return Err(ModuleError(format!("{module}@{vsn}")));
        }
        Ok(ModuleVsn { module, vsn })
    }

    /// The name of the module.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// The version.
    pub fn vsn(&self) -> u32 {
        self.vsn
    }
}

impl fmt::Display for ModuleVsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.module, self.vsn)
    }
}

impl fmt::Debug for ModuleVsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ModuleVsn {
    type Err = ModuleError;

    fn from_str(text: &str) -> Result<Self, ModuleError> {
        let error = || ModuleError(text.to_owned());
        let (module, digits) = text.rsplit_once('@').ok_or_else(error)?;
        // One text for each version: no sign and no zeros in front, which the number's own parser would take.
        if !digits.starts_with(|first: char| matches!(first, '1'..='9')) {
            return Err(error());
        }
        let vsn = digits.parse().map_err(|_| error())?;
        ModuleVsn::named(module.to_owned(), vsn).map_err(|_| error())
    }
}

impl Serialize for ModuleVsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModuleVsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = ModuleVsn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a module and its version, as NAME@VERSION")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ModuleVsn, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// A text that is no module with a version; it holds the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleError(String);

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found {:?}, understood is NAME@VERSION with a version from 1 to {}", self.0, u32::MAX)
    }
}

impl std::error::Error for ModuleError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_its_text() {
        for (text, module, vsn) in [
            ("key@2", "key", 2),
            ("switchboard::key@1", "switchboard::key", 1),
            ("a@b@4294967295", "a@b", u32::MAX),
            ("@@1", "@", 1),
            (" @1", " ", 1),
        ] {
            let parsed: ModuleVsn = text.parse().unwrap();
            assert_eq!((parsed.module(), parsed.vsn()), (module, vsn));
            assert_eq!(parsed.to_string(), text);
            let bytes = rmp_serde::to_vec_named(&parsed).unwrap();
            assert_eq!(bytes, rmp_serde::to_vec_named(text).unwrap());
            assert_eq!(rmp_serde::from_slice::<ModuleVsn>(&bytes).unwrap(), parsed);
        }
        assert_eq!("key@2".parse(), Ok(ModuleVsn::new("key", 2)));
        assert!(ModuleVsn::new("key", 2) < ModuleVsn::new("key", 10));
    }

    #[test]
    fn any_other_text_is_refused() {
        for text in [
            "",
            "@",
            "key",
            "key@",
            "@2",
            "key@0",
            "key@02",
            "key@+2",
            "key@-2",
            "key@2 ",
            "key@4294967296",
            "key@x",
        ] {
            let error = text.parse::<ModuleVsn>().unwrap_err();
            let says =
                format!("found {text:?}, understood is NAME@VERSION with a version from 1 to 4294967295");
            assert_eq!(error.to_string(), says);
            assert!(rmp_serde::from_slice::<ModuleVsn>(&rmp_serde::to_vec(text).unwrap()).is_err());
        }
        assert!(ModuleVsn::named("", 1).is_err());
        assert!(ModuleVsn::named("key", 0).is_err());
    }
}
