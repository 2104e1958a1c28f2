//! Why a time key names no partition that exists: the questions people would ask, in order.

use super::civil::day_of_wall;
use super::error::KeyError;
use super::format::ReadKey;
use super::sequence::Tick;
use super::timeline::{Layer, Timeline, first_day, last_day};
use super::windows::Windows;

/// How far on either side of a key the nearest windows are looked for: more than the longest month.
const NEIGHBOUR_DAYS: i32 = 40;

/// Explains a key that has the shape of the format and is not among the existing windows.
pub(crate) fn explain(windows: &Windows, key: &str, read: &ReadKey) -> KeyError {
    let spec = &windows.spec;
    let around = Timeline::around(&spec.sequence, &read.walls);
    let named: Vec<Tick> = around.ticks(Layer::All).filter(|tick| read.walls.contains(&tick.wall)).collect();
    let exact = named.iter().find(|tick| spec.format.key(tick) == key);
    let meant = named.iter().find(|tick| read.offset.is_none_or(|offset| offset == tick.offset));
    let tick = match (exact, meant) {
        (Some(tick), _) => tick,
        (None, Some(tick)) => {
            return KeyError::NotCanonical { key: key.to_owned(), canonical: spec.format.key(tick) };
        }
        (None, None) => return no_window(windows, key, read),
    };
    if tick.instant < spec.start {
        let first = windows.line.tick(Layer::Kept, windows.first_kept);
        let first = first.map_or_else(String::new, |first| spec.format.key(&first));
        return KeyError::BeforeStart { key: key.to_owned(), first };
    }
    if !around.ticks(Layer::Kept).any(|kept| kept.instant == tick.instant) {
        return KeyError::Excluded { key: key.to_owned() };
    }
    // The window's end is the next tick: behind the definition's end or only behind now?
    let ended = spec.end.is_some_and(|end| {
        let next = around.tick(Layer::All, around.rank(Layer::All, tick.instant + 1));
        next.map_or(tick.instant, |next| next.instant) > end
    });
    let last = windows.len.checked_sub(1).and_then(|last| windows.key(last));
    KeyError::AfterEnd { key: key.to_owned(), last, ended }
}

/// No window begins at the time that the key names: say why, and what is near.
fn no_window(windows: &Windows, key: &str, read: &ReadKey) -> KeyError {
    let spec = &windows.spec;
    let day = day_of_wall(read.walls.start).clamp(first_day(), last_day());
    let near = Timeline::new(&spec.sequence, day - NEIGHBOUR_DAYS, day + NEIGHBOUR_DAYS);
    let before = near.ticks(Layer::Kept).filter(|tick| tick.wall < read.walls.start).last();
    let after = near.ticks(Layer::Kept).find(|tick| tick.wall >= read.walls.start);
    let name = |tick: &Tick| spec.format.key(tick);
    let zone = &spec.sequence.zone;
    let skipped = zone.instants_of(read.walls.start).is_empty();
    if let (true, Some(next)) = (skipped, &after) {
        return KeyError::Skipped { key: key.to_owned(), zone: zone.name().to_owned(), next: name(next) };
    }
    let nearest: Vec<String> = before.iter().chain(after.iter()).map(name).collect();
    KeyError::NotABoundary { key: key.to_owned(), nearest: nearest.join(", ") }
}
