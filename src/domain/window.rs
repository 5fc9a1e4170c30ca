//! Maintenance windows: when a run may change things by itself.
//!
//! A window is a time of day in a time zone, on the days on which it opens; one whose end is not later than its beginning
//! goes over midnight. Where the clocks are put forward, an end or beginning that does not exist moves on by the missing
//! hour; where they are put back, the earlier of two equal times counts, so that a window never closes late.

use super::time::Stamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde::{Deserialize, Serialize};

/// The windows of a cluster; none = always open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows(pub Vec<Window>);

/// One window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    days: Vec<Weekday>,
    from: Time,
    to: Time,
    zone: TimeZone,
    zone_name: String,
}

/// A moment, as the window's own clock shows it: `05:00 Europe/Berlin`, with the day when it is not today's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: Stamp,
    /// In words.
    pub clock: String,
}

/// Whether changes may begin by themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opening {
    /// There are no windows.
    #[default]
    Always,
    /// Until then.
    Open(Moment),
    /// Not now.
    Closed {
        /// When a window closed last, within the last days.
        closed: Option<Moment>,
        /// When the next one opens.
        opens: Option<Moment>,
    },
}

impl Opening {
    /// Whether changes may begin by themselves now.
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Closed { .. })
    }

    /// Why nothing goes on by itself: `window closed at 05:00 Europe/Berlin`; empty when it is open.
    pub fn words(&self) -> String {
        match self {
            Self::Always | Self::Open(_) => String::new(),
            Self::Closed { closed: Some(closed), .. } => format!("window closed at {}", closed.clock),
            Self::Closed { closed: None, opens: Some(opens) } => {
                format!("window is closed; it opens at {}", opens.clock)
            }
            Self::Closed { closed: None, opens: None } => "window is closed".to_owned(),
        }
    }
}

/// How far back and ahead openings are looked for, in days.
const HORIZON: i64 = 9;

impl Windows {
    /// How it is at a time.
    pub fn at(&self, now: Stamp) -> Opening {
        let Ok(at) = Timestamp::from_millisecond(now.0) else { return Opening::default() };
        if self.0.is_empty() {
            return Opening::Always;
        }
        let mut spans: Vec<(&Window, Zoned, Zoned)> =
            self.0.iter().flat_map(|window| window.around(at)).collect();
        spans.sort_by_key(|(_, from, _)| from.timestamp());
        let within = |from: &Zoned, to: &Zoned, at: Timestamp| from.timestamp() <= at && at < to.timestamp();
        let Some(first) = spans.iter().find(|(_, from, to)| within(from, to, at)) else {
            let past = spans.iter().filter(|(_, _, to)| to.timestamp() <= at);
            let closed = past.max_by_key(|(_, _, to)| to.timestamp());
            let opens = spans.iter().find(|(_, from, _)| from.timestamp() > at);
            return Opening::Closed {
                closed: closed.map(|(window, _, to)| window.moment(to, at)),
                opens: opens.map(|(window, from, _)| window.moment(from, at)),
            };
        };
        // windows that touch or overlap are one
        let (mut window, mut end) = (first.0, first.2.clone());
        while let Some(next) = spans
            .iter()
            .find(|(_, from, to)| from.timestamp() <= end.timestamp() && to.timestamp() > end.timestamp())
        {
            (window, end) = (next.0, next.2.clone());
        }
        let far = at + ((HORIZON - 2) * 24).hours();
        if end.timestamp() >= far { Opening::Always } else { Opening::Open(window.moment(&end, at)) }
    }
}

impl Window {
    /// From the texts of a configuration: days (`mon`, `mon-fri`; none = every day), times of day (`22:00`), a time zone
    /// of the IANA database (`Europe/Berlin`).
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub fn new(days: &[String], from: &str, to: &str, zone: &str) -> Result<Self, String> {
        let days = if days.is_empty() { vec!["mon-sun".to_owned()] } else { days.to_vec() };
        let days: Result<Vec<Vec<Weekday>>, String> = days.iter().map(|text| weekdays(text)).collect();
        let to = if to.trim() == "24:00" { "00:00" } else { to };
        Ok(Self {
            days: days?.concat(),
            from: time(from)?,
            to: time(to)?,
            zone: TimeZone::get(zone).map_err(|_| {
                format!(
                    "{zone:?} is not a time zone of this machine's database: write one like Europe/Berlin"
                )
            })?,
            zone_name: zone.to_owned(),
        })
    }

    /// Its openings some days before and after a time.
    fn around(&self, at: Timestamp) -> impl Iterator<Item = (&Self, Zoned, Zoned)> {
        let today = at.to_zoned(self.zone.clone()).date();
        (-HORIZON..=HORIZON).filter_map(move |by| {
            let day = today.checked_add(by.days()).ok()?;
            if !self.days.contains(&day.weekday()) {
                return None;
            }
            let last = if self.to > self.from { day } else { day.tomorrow().ok()? };
            let (from, to) = (self.at(day, self.from)?, self.at(last, self.to)?);
            (from < to).then_some((self, from, to))
        })
    }

    fn at(&self, day: Date, time: Time) -> Option<Zoned> {
        day.to_datetime(time).to_zoned(self.zone.clone()).ok()
    }

    fn moment(&self, moment: &Zoned, now: Timestamp) -> Moment {
        let apart = moment.timestamp().duration_since(now).abs();
        let is_near = apart < jiff::SignedDuration::from_hours(20);
        let time = moment.strftime(if is_near { "%H:%M" } else { "%a %H:%M" });
        Moment { at: Stamp(moment.timestamp().as_millisecond()), clock: format!("{time} {}", self.zone_name) }
    }
}

fn time(text: &str) -> Result<Time, String> {
    Time::strptime("%H:%M", text.trim()).map_err(|_| format!("{text:?} is not a time of day: write 22:00"))
}

const NAMES: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// `fri`, or `mon-fri`; `sat-mon` goes over the end of the week.
fn weekdays(text: &str) -> Result<Vec<Weekday>, String> {
    let wrong = || format!("{text:?} is not a day: write mon, tue, wed, thu, fri, sat, sun, or mon-fri");
    let place = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        NAMES.iter().position(|(known, _)| *known == name).ok_or_else(wrong)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (place(first)?, place(last)?);
    let count = (last + NAMES.len() - first) % NAMES.len() + 1;
    Ok(NAMES.iter().cycle().skip(first).take(count).map(|(_, day)| *day).collect())
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
