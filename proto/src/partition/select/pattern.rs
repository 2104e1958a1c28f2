//! Patterns of keys: pieces with anything between them.
//!
//! Ten million minutes are not spelled out to see which of them match `*-06-01-12:00`. A pattern is a small automaton
//! whose states are the bits of one number. Nearly every format spells the day and then the time, so the automaton
//! is run over the name of each day once, and over the minutes of a day once for each state that a day can leave it
//! in: there are few, because days differ little to a pattern. Only where clocks change, and in formats of another
//! shape, are keys spelled one by one.

use std::collections::HashMap;
use std::ops::Range;

use super::lexer::Word;
use crate::partition::PartitionSubset;
use crate::partition::civil::{Wall, day_of_wall, midnight};
use crate::partition::format::Spelling;
use crate::partition::timeline::Stretch;
use crate::partition::windows::Windows;

/// Whether a key is made of these pieces in order, with anything between them.
pub(super) fn matches(pieces: &[String], key: &str) -> bool {
    let [first, middle @ .., last] = pieces else { return pieces.iter().all(|piece| piece == key) };
    let Some(mut rest) = key.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()))
    else {
        return false;
    };
    for piece in middle {
        // The earliest place leaves the most for the pieces behind it.
        let Some(at) = rest.find(piece.as_str()) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

/// The windows whose keys match and whose wall times can lie in a range.
pub(super) fn matching_windows(windows: &Windows, walls: &Range<Wall>, word: &Word) -> PartitionSubset {
    let (automaton, spelling) = (Automaton::new(&word.pieces), windows.spec.format.date_then_time());
    let (Some(automaton), Some((date, time))) = (automaton, spelling) else {
        return one_by_one(windows, windows.line.kept_in_wall(walls.clone()), word);
    };
    let days = day_of_wall(walls.start)..=day_of_wall(walls.end - 1);
    let mut found = Found { windows, ordinals: PartitionSubset::new(), open: 0..0 };
    let mut text = String::new();
    for stretch in windows.line.stretches() {
        match stretch {
            Stretch::Disturbed { first_day, days: count, kept } => {
                if first_day <= *days.end() && *days.start() < first_day + count as i32 {
                    found.ordinals |= &one_by_one(windows, kept, word);
                }
            }
            Stretch::Alike { first_day, days: count, minutes, first_kept } => {
                let mut by_state: HashMap<u128, Vec<Range<u64>>> = HashMap::new();
                // A run spans no more days than four-digit years have.
                let last_day = first_day + count as i32 - 1;
                for day in first_day.max(*days.start())..=last_day.min(*days.end()) {
                    text.clear();
                    date.write(midnight(day), &mut text);
                    let state = automaton.run(automaton.start, &text);
                    if state == 0 {
                        continue;
                    }
                    let hits =
                        by_state.entry(state).or_insert_with(|| automaton.minutes(state, minutes, time));
                    let base = first_kept + (day - first_day) as u64 * minutes.len() as u64;
                    hits.iter().for_each(|hit| found.add(base + hit.start..base + hit.end));
                }
            }
        }
    }
    found.finish()
}

fn one_by_one(windows: &Windows, kept: Range<u64>, word: &Word) -> PartitionSubset {
    let ordinals = ordinals(windows, &kept);
    ordinals.filter(|&at| windows.key(at).is_some_and(|key| matches(&word.pieces, &key))).collect()
}

/// Ordinals of kept ticks, as far as they exist.
fn ordinals(windows: &Windows, kept: &Range<u64>) -> Range<u32> {
    // At most `len`, a u32.
    let ordinal = |index: u64| index.saturating_sub(windows.first_kept).min(u64::from(windows.len)) as u32;
    ordinal(kept.start)..ordinal(kept.end)
}

/// Ranges of kept ticks, joined where they touch.
struct Found<'a> {
    windows: &'a Windows,
    ordinals: PartitionSubset,
    open: Range<u64>,
}

impl Found<'_> {
    fn add(&mut self, kept: Range<u64>) {
        if kept.start == self.open.end {
            self.open.end = kept.end;
        } else {
            self.close();
            self.open = kept;
        }
    }

    fn close(&mut self) {
        self.ordinals.insert_range(ordinals(self.windows, &self.open));
    }

    fn finish(mut self) -> PartitionSubset {
        self.close();
        self.ordinals
    }
}

/// A pattern as an automaton over bytes. Bit `i` of a state: the first `i` places of the pattern are behind us.
struct Automaton {
    /// By byte, the places where it stands.
    bytes: Vec<u128>,
    /// Places where anything may stand.
    any: u128,
    /// Before the first byte.
    start: u128,
    /// The whole pattern is behind us.
    end: u128,
}

impl Automaton {
    /// `None` when the pattern has more places than a state has bits.
    fn new(pieces: &[String]) -> Option<Self> {
        let (mut bytes, mut any, mut place) = (vec![0; 256], 0u128, 0u32);
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                any |= 1u128.checked_shl(place)?;
                place += 1;
            }
            for byte in piece.bytes() {
                bytes[usize::from(byte)] |= 1u128.checked_shl(place)?;
                place += 1;
            }
        }
        let end = 1u128.checked_shl(place)?;
        let mut automaton = Self { bytes, any, start: 1, end };
        automaton.start = automaton.past_wildcards(1);
        Some(automaton)
    }

    /// A wildcard may stand for nothing.
    fn past_wildcards(&self, mut state: u128) -> u128 {
        loop {
            let next = state | (state & self.any) << 1;
            if next == state {
                return state;
            }
            state = next;
        }
    }

    fn run(&self, state: u128, text: &str) -> u128 {
        text.bytes().fold(state, |state, byte| {
            let literal = state & self.bytes[usize::from(byte)];
            self.past_wildcards(literal << 1 | state & self.any)
        })
    }

    /// The runs of minutes that lead from a state to the end, as positions in the list.
    fn minutes(&self, state: u128, minutes: &[u16], time: Spelling<'_>) -> Vec<Range<u64>> {
        let mut hits: Vec<Range<u64>> = Vec::new();
        let mut text = String::new();
        for (at, minute) in (0u64..).zip(minutes) {
            text.clear();
            time.write(i64::from(*minute) * 60, &mut text);
            if self.run(state, &text) & self.end == 0 {
                continue;
            }
            match hits.last_mut() {
                Some(hit) if hit.end == at => hit.end = at + 1,
                _ => hits.push(at..at + 1),
            }
        }
        hits
    }
}
