//! What decides which ordinal a key has, in sixteen bytes.
//!
//! Two spaces with equal fingerprints number their common keys alike, so a stored bitmap can be used as
//! it is. What only decides *how many* partitions exist (the present time, `end`, `end_offset`, the length
//! of the outermost dimension) is left out: a space that grows keeps its fingerprint. What moves
//! ordinals is in: the list of keys, the first tick and the rule behind it, the exclusions, the version
//! of the time zone database, the lengths of inner dimensions, the cells of a sparse product.

#[cfg(test)]
mod tests;

use std::fmt;

use sha2::{Digest, Sha256};

use super::Partitions;
use super::days::Days;
use super::sequence::Rule;
use super::space::Space;
use super::windows::Windows;
use super::zone::zone_database_version;

/// Sixteen bytes that identify a numbering of partitions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

/// Changes whenever the bytes that are hashed change their meaning.
const HASH_VERSION: u8 = 1;

impl Fingerprint {
    /// The bytes, for storage.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// From storage.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Partitions {
    /// What decides the ordinals of this space.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint_by(zone_database_version())
    }

    /// The fingerprint under a version of the time zone database.
    fn fingerprint_by(&self, zones: &str) -> Fingerprint {
        let mut hash = Hasher { digest: Sha256::new(), zones };
        hash.byte(HASH_VERSION);
        hash.space(self);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.digest.finalize()[..16]);
        Fingerprint(bytes)
    }
}

/// Feeds values in a form that no two different sequences of values share: lengths come first.
struct Hasher<'a> {
    digest: Sha256,
    /// Version of the time zone database.
    zones: &'a str,
}

impl Hasher<'_> {
    fn byte(&mut self, byte: u8) {
        self.digest.update([byte]);
    }

    fn number(&mut self, number: i64) {
        self.digest.update(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as i64);
        self.digest.update(text.as_bytes());
    }

    fn space(&mut self, partitions: &Partitions) {
        match &partitions.space {
            Space::One => self.byte(0),
            Space::Keys(keys) => {
                self.byte(1);
                self.number(keys.len() as i64);
                keys.iter().for_each(|key| self.text(key));
            }
            Space::Windows(windows) => {
                self.byte(2);
                self.windows(windows);
            }
            Space::Product(product) => {
                self.byte(3);
                self.number(product.dimensions.len() as i64);
                for (index, dimension) in product.dimensions.iter().enumerate() {
                    self.text(&dimension.name);
                    self.space(&dimension.partitions);
                    // The outermost length moves no ordinal.
                    if index > 0 {
                        self.number(i64::from(dimension.partitions.len()));
                    }
                }
                // Not the bitmap of cells, which grows with time, but what decides it.
                self.text(&product.cells);
            }
        }
    }

    fn windows(&mut self, windows: &Windows) {
        let sequence = &windows.spec.sequence;
        self.text(sequence.zone.name());
        self.text(self.zones);
        self.text(windows.spec.format.pattern());
        self.number(windows.spec.start);
        self.rule(&sequence.rule);
        self.number(sequence.exclusions.rules.len() as i64);
        sequence.exclusions.rules.iter().for_each(|rule| self.rule(rule));
        self.number(sequence.exclusions.days.len() as i64);
        sequence.exclusions.days.iter().for_each(|days| self.days(days));
        self.number(sequence.exclusions.instants.len() as i64);
        sequence.exclusions.instants.iter().for_each(|&instant| self.number(instant));
    }

    fn rule(&mut self, rule: &Rule) {
        self.byte(u8::from(rule.elapsed));
        self.number(rule.minutes.len() as i64);
        rule.minutes.iter().for_each(|&minute| self.number(i64::from(minute)));
        self.days(&rule.days);
    }

    fn days(&mut self, days: &Days) {
        let listed = |hash: &mut Self, days: &[i32]| {
            hash.number(days.len() as i64);
            days.iter().for_each(|&day| hash.number(i64::from(day)));
        };
        match days {
            Days::Pattern(pattern) => {
                self.byte(0);
                pattern.numbers().for_each(|number| self.number(number));
            }
            Days::PatternExcept(pattern, except) => {
                self.byte(1);
                pattern.numbers().for_each(|number| self.number(number));
                listed(self, except);
            }
            Days::Listed(days) => {
                self.byte(2);
                listed(self, days);
            }
        }
    }
}
