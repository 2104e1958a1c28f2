//! Calendars that have days, and names that have calendars.

use super::Check;
use crate::{
    definition::{
        calendars::{Unbound, path_of},
        name::CalendarName,
    },
    partition::{Calendar, CalendarError},
};

impl Check<'_> {
    pub(super) fn calendars(&mut self, unbound: Vec<Unbound>) {
        let calendars = &self.project.calendars;
        for (name, calendar) in calendars {
            if let Err(error) = calendar.compile() {
                self.calendar(name, calendar, &error);
            }
        }
        for Unbound { path, name } in unbound {
            let known = calendars.keys().map(CalendarName::as_str);
            self.reference(path, "calendar", "calendars", &name, known);
        }
    }

    fn calendar(&mut self, name: &CalendarName, calendar: &Calendar, error: &CalendarError) {
        let path = path_of(name);
        match error {
            // The first wrong date hides the others, and people want to mend them all.
            CalendarError::Date { .. } => {
                for (field, dates) in [("days", &calendar.days), ("except", &calendar.except)] {
                    for (index, date) in dates.iter().enumerate() {
                        let alone = Calendar { days: vec![date.clone()], ..Calendar::default() };
                        if let Err(error) = alone.compile() {
                            self.say_of_field(path.key(field).index(index), error);
                        }
                    }
                }
            }
            CalendarError::Weekdays { .. } => self.say_of_field(path.key("weekdays"), error),
            CalendarError::NotLoaded { .. } => self.say_of_field(path.key("file"), error),
            // Its days may be what could not be read.
            CalendarError::Empty if !self.is_sound(&path) => {}
            CalendarError::Unknown { .. }
            | CalendarError::Empty
            | CalendarError::ListAndPattern
            | CalendarError::TooLong { .. } => self.say_of_field(path, error),
        }
    }
}
