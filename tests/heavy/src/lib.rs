//! Heavy tests; see the tests folder.
