//! `strftime` for templates that write today's date.

use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `format` with its directives filled in for `time` in UTC; `None` for a directive that is not known
/// or a time before 1970.
pub(super) fn strftime(format: &str, time: SystemTime) -> Option<String> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let half = if hour % 12 == 0 { 12 } else { hour % 12 };
    let weekday = DAYS[(days as usize + 3) % 7];
    let month_name = MONTHS[month as usize - 1];

    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let directive = chars.next()?;
        // "%-d" is "%d" without its leading zero.
        let (bare, directive) =
            if directive == '-' { (true, chars.next()?) } else { (false, directive) };
        let padded = |value: u64, width: usize| match bare {
            true => value.to_string(),
            false => format!("{value:0width$}"),
        };
        out.push_str(&match directive {
            'Y' => year.to_string(),
            'y' => padded(year % 100, 2),
            'm' => padded(month, 2),
            'd' => padded(day, 2),
            'e' => format!("{day:2}"),
            'H' => padded(hour, 2),
            'I' => padded(half, 2),
            'M' => padded(minute, 2),
            'S' => padded(second, 2),
            'j' => padded(days - days_before(year) + 1, 3),
            'p' => if hour < 12 { "AM" } else { "PM" }.into(),
            'A' => weekday.into(),
            'a' => weekday[..3].into(),
            'B' => month_name.into(),
            'b' | 'h' => month_name[..3].into(),
            'F' => format!("{year}-{month:02}-{day:02}"),
            'T' => format!("{hour:02}:{minute:02}:{second:02}"),
            'Z' => "UTC".into(),
            'z' => "+0000".into(),
            '%' => "%".into(),
            _ => return None,
        });
    }
    Some(out)
}

/// Days from 1970-01-01 to the first day of `year`.
fn days_before(year: u64) -> u64 {
    let past = year - 1;
    past * 365 + past / 4 - past / 100 + past / 400 - 719_162
}

/// Year, month (1-12) and day (1-31) of a day counted from 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let mut year = 1970 + days / 366;
    while days_before(year + 1) <= days {
        year += 1;
    }
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut day = days - days_before(year);
    for (month, length) in
        (1..).zip([31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    {
        if day < length {
            return (year, month, day + 1);
        }
        day -= length;
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64, format: &str) -> Option<String> {
        strftime(format, UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn known_moments() {
        assert_eq!(at(0, "%A %d %B %Y %T").unwrap(), "Thursday 01 January 1970 00:00:00");
        assert_eq!(at(951_782_400, "%a %-d %b %y %j").unwrap(), "Tue 29 Feb 00 060");
        assert_eq!(at(1_798_761_599, "%F %I:%M %p").unwrap(), "2026-12-31 11:59 PM");
        assert_eq!(at(4_107_542_400, "%d %b %Y").unwrap(), "01 Mar 2100");
        assert_eq!(at(0, "100%%").unwrap(), "100%");
        assert_eq!((at(0, "%Q"), at(0, "%")), (None, None));
    }
}
