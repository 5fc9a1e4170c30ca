//! Windows: days, midnight, clocks that are put forward and back.

use super::*;

fn at(text: &str) -> Stamp {
    Stamp(text.parse::<Timestamp>().unwrap().as_millisecond())
}

fn windows(list: &[(&str, &str, &str, &str)]) -> Windows {
    let one = |(days, from, to, zone): &(&str, &str, &str, &str)| {
        let days: Vec<String> = days.split_whitespace().map(str::to_owned).collect();
        Window::new(&days, from, to, zone).unwrap()
    };
    Windows(list.iter().map(one).collect())
}

fn closes(windows: &Windows, now: &str) -> String {
    match windows.at(at(now)) {
        Opening::Open(moment) => format!("{} = {}", moment.clock, at_text(moment.at)),
        other => format!("{other:?}"),
    }
}

fn at_text(at: Stamp) -> String {
    Timestamp::from_millisecond(at.0).unwrap().to_string()
}

#[test]
fn without_windows_it_is_always_open() {
    assert_eq!(Windows::default().at(Stamp(0)), Opening::Always);
    let whole = windows(&[("", "00:00", "24:00", "UTC")]);
    assert_eq!(whole.at(at("2025-11-20T12:00:00Z")), Opening::Always);
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_opens() {
    let nights = windows(&[("mon-thu", "22:00", "05:00", "Europe/Berlin")]);
    // Thursday 23:30 and Friday 04:59 in Berlin, in winter
    assert_eq!(closes(&nights, "2025-11-20T22:30:00Z"), "05:00 Europe/Berlin = 2025-11-21T04:00:00Z");
    assert_eq!(closes(&nights, "2025-11-21T03:59:59Z"), "05:00 Europe/Berlin = 2025-11-21T04:00:00Z");
    let closed = nights.at(at("2025-11-21T04:00:00Z"));
    assert_eq!(closed.words(), "window closed at 05:00 Europe/Berlin");
    let Opening::Closed { opens: Some(opens), .. } = closed else { panic!("{closed:?}") };
    assert_eq!(
        (opens.clock.as_str(), at_text(opens.at).as_str()),
        ("Mon 22:00 Europe/Berlin", "2025-11-24T21:00:00Z")
    );
    assert!(!nights.at(at("2025-11-21T22:30:00Z")).is_open(), "Friday night is none of its nights");
}

#[test]
fn windows_that_touch_are_one() {
    let two = windows(&[
        ("", "20:00", "22:00", "UTC"),
        ("", "22:00", "02:00", "UTC"),
        ("", "21:00", "23:00", "UTC"),
    ]);
    assert_eq!(closes(&two, "2025-11-20T20:00:00Z"), "02:00 UTC = 2025-11-21T02:00:00Z");
    assert!(!two.at(at("2025-11-20T19:59:59Z")).is_open());
}

#[test]
fn clocks_that_are_put_forward_or_back_do_not_close_it_late() {
    let nights = windows(&[("", "23:00", "02:30", "Europe/Berlin")]);
    // 2025-10-26 03:00 -> 02:00: 02:30 is there twice, the first one (CEST) counts
    assert_eq!(closes(&nights, "2025-10-25T22:00:00Z"), "02:30 Europe/Berlin = 2025-10-26T00:30:00Z");
    assert!(!nights.at(at("2025-10-26T01:00:00Z")).is_open());
    // 2025-03-30 02:00 -> 03:00: 02:30 is not there, it is 03:30 CEST
    assert_eq!(closes(&nights, "2025-03-29T23:00:00Z"), "03:30 Europe/Berlin = 2025-03-30T01:30:00Z");
    // a night of seven hours is one of six in spring and of eight in autumn
    let long = windows(&[("", "22:00", "05:00", "Europe/Berlin")]);
    assert_eq!(closes(&long, "2025-03-29T22:00:00Z"), "05:00 Europe/Berlin = 2025-03-30T03:00:00Z");
    assert_eq!(closes(&long, "2025-10-25T22:00:00Z"), "05:00 Europe/Berlin = 2025-10-26T04:00:00Z");
}

#[test]
fn a_window_that_a_short_night_swallows_does_not_open() {
    let hour = windows(&[("", "02:00", "03:00", "Europe/Berlin")]);
    assert!(!hour.at(at("2025-03-30T01:00:00Z")).is_open());
    assert!(hour.at(at("2025-03-31T00:30:00Z")).is_open());
}

#[test]
fn what_is_written_wrongly_is_named() {
    let error = |days: &str, from: &str, zone: &str| {
        Window::new(&[days.to_owned()], from, "05:00", zone).unwrap_err()
    };
    assert!(error("mo", "22:00", "UTC").contains("\"mo\" is not a day"));
    assert!(error("mon", "25:00", "UTC").contains("\"25:00\" is not a time of day"));
    assert!(error("mon", "22", "UTC").contains("\"22\" is not a time of day"));
    assert!(error("mon", "22:00", "Mars/Olympus").contains("\"Mars/Olympus\" is not a time zone"));
    assert_eq!(weekdays("sat-mon").unwrap(), [Weekday::Saturday, Weekday::Sunday, Weekday::Monday]);
}
