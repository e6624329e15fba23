//! Names of keys, short and long.

use std::collections::HashMap;

use crate::name::Name;

#[test]
fn a_name_is_its_bytes_however_many_they_are() {
    let long = [b'k'; 300];
    let mut lives = HashMap::new();
    for length in [0, 1, 21, 22, 23, 24, 255, 256, 300] {
        let name = Name::from(&long[..length]);
        assert_eq!(&*name, &long[..length]);
        assert_eq!(name, name.clone());
        assert_eq!(matches!(name, Name::Short(..)), length <= 22, "{length}");
        lives.insert(name, length);
    }
    // A map is asked with bytes.
    for length in [0, 1, 21, 22, 23, 24, 255, 256, 300] {
        assert_eq!(lives.get(&long[..length]), Some(&length));
    }
    assert_eq!(lives.get(&long[..2]), None);
}

#[test]
fn names_that_end_in_zeros_differ() {
    assert_ne!(Name::from(&b"a"[..]), Name::from(&b"a\0"[..]));
}
