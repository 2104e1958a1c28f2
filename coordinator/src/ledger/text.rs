//! Text that every database stores.
//!
//! Programs print and report anything. Postgres refuses the character NUL in text, and in JSON the escape of it
//! as soon as somebody reads a field; one such value would poison its whole batch. Both become U+FFFD, the
//! replacement character, in every dialect alike.
//!
//! That leaves no attempt that a database refuses for what is in it: numbers fit their columns, documents are stored
//! as text that nobody parses on the way in, and what enters an index has a bounded length. So no result can block
//! those behind it. What people submit is checked before it is accepted ([`check_storable`](super::RunRecord::check_storable)).

use std::borrow::Cow;

/// `text` without NUL characters.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.as_bytes().contains(&0) {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// JSON text without NUL characters, whether plain or escaped. What is no JSON becomes a document that says so, for
/// the views that read columns as JSON.
pub(super) fn storable_json(json: &str) -> Cow<'_, str> {
    let json = storable(json);
    if serde_json::from_str::<serde::de::IgnoredAny>(&json).is_err() {
        return Cow::Owned(serde_json::json!({ "unreadable": json }).to_string());
    }
    if !json.contains("\\u0000") {
        return json;
    }
    let mut clean = String::with_capacity(json.len());
    let mut rest = json.as_ref();
    while let Some(at) = rest.find('\\') {
        clean.push_str(&rest[..at]);
        // The character after a backslash belongs to it, so that `\\u0000` (a backslash, then text) is left alone.
        let escape = &rest[at..];
        let length = if escape.starts_with("\\u0000") {
            clean.push_str("\\ufffd");
            6
        } else {
            let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
            clean.push_str(&escape[..length]);
            length
        };
        rest = &escape[length..];
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

/// Bytes of a partition key that are stored. An entry of a B-tree in Postgres holds 2,704 bytes, and a longer one is
/// refused.
pub(super) const KEY_BYTES_MAX: usize = 1_024;

/// A partition key as it is stored. One that is too long for an index keeps its beginning and a hash of the whole;
/// definitions do not make such keys, and one row must not stop the ledger.
pub(super) fn storable_key(key: &str) -> Cow<'_, str> {
    const HASH_BYTES: usize = 17;
    let key = storable(key);
    if key.len() <= KEY_BYTES_MAX {
        return key;
    }
    let kept = &key[..key.floor_char_boundary(KEY_BYTES_MAX - HASH_BYTES)];
    // FNV-1a: stable for ever, unlike the standard library's.
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Cow::Owned(format!("{kept}~{hash:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_nul_is_not_copied() {
        assert!(matches!(storable("Grüße 🧵"), Cow::Borrowed(_)));
        assert!(matches!(storable_json(r#"{"a":"\u00e9"}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn nul_becomes_the_replacement_character() {
        assert_eq!(storable("a\0b\0"), "a\u{fffd}b\u{fffd}");
        assert_eq!(storable_json(r#"{"a":"x\u0000y"}"#), r#"{"a":"x\ufffdy"}"#);
    }

    #[test]
    fn a_key_too_long_for_an_index_is_shortened_without_being_mixed_up_with_another() {
        let (one, other) = ("ü".repeat(KEY_BYTES_MAX), format!("{}x", "ü".repeat(KEY_BYTES_MAX)));
        assert!(storable_key(&one).len() <= KEY_BYTES_MAX);
        assert_ne!(storable_key(&one), storable_key(&other));
        assert_eq!(storable_key("2024-01-01"), "2024-01-01");
    }

    #[test]
    fn what_is_no_json_becomes_a_document_that_says_so() {
        assert_eq!(storable_json("{\"a\": tru"), r#"{"unreadable":"{\"a\": tru"}"#);
    }

    #[test]
    fn an_escaped_backslash_before_u0000_is_no_nul() {
        let json = r#"{"path":"c:\\u0000","nul":"\\\u0000"}"#;
        assert_eq!(storable_json(json), r#"{"path":"c:\\u0000","nul":"\\\ufffd"}"#);
    }
}
