//! Stored bytes may be anyone's.

#![no_main]

use backstitch_proto::partition::StoredSubset;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(stored) = StoredSubset::from_bytes(bytes) {
        let again = StoredSubset::from_bytes(&stored.to_bytes()).expect("our own bytes");
        assert_eq!(again, stored);
    }
});
