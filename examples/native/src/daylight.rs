//! The length of a day, by the sunrise equation; good to a few minutes.

use std::f64::consts::TAU;

use chrono::{Datelike, NaiveDate};

/// Tilt of the Earth's axis, degrees.
const TILT: f64 = 23.44;

/// Hours from sunrise to sunset; `None` where the sun does neither that day.
pub(crate) fn hours(day: NaiveDate, latitude: f64) -> Option<f64> {
    // Days since the winter solstice of the year before, as an angle.
    let season = TAU * (f64::from(day.ordinal()) + 10.0) / 365.25;
    let declination = -TILT.to_radians() * season.cos();
    let noon_to_sunset = -latitude.to_radians().tan() * declination.tan();
    (-1.0..=1.0).contains(&noon_to_sunset).then(|| noon_to_sunset.acos() / TAU * 48.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: &str, latitude: f64) -> Option<f64> {
        hours(day.parse().unwrap(), latitude)
    }

    #[test]
    fn a_day_has_twelve_hours_at_the_equator_and_at_the_equinox() {
        assert!((at("2024-06-21", 0.0).unwrap() - 12.0).abs() < 0.01);
        assert!((at("2024-03-21", 47.6).unwrap() - 12.0).abs() < 0.2);
    }

    #[test]
    fn seattle_has_sixteen_hours_in_june() {
        assert!((at("2024-06-21", 47.6).unwrap() - 15.9).abs() < 0.2);
    }

    #[test]
    fn the_polar_night_has_no_sunrise() {
        assert_eq!(at("2024-12-21", 80.0), None);
    }
}
