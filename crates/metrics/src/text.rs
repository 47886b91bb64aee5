//! Times as texts that people read.

use crate::DAY_SECONDS;

/// Year, month and day of a day since 1970.
pub fn date(days: i64) -> (i64, i64, i64) {
    // Counted from the first of March of the year 0, so that leap days come last.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// `21/11/26 13:05:00`
pub fn short(at: i64) -> String {
    let ((year, month, day), (hour, minute, second)) = (date(at.div_euclid(DAY_SECONDS)), clock(at));
    format!("{day:02}/{month:02}/{:02} {hour:02}:{minute:02}:{second:02}", year.rem_euclid(100))
}

/// `2026-11-21T13:05:00.000+0000`
pub fn long(at: i64) -> String {
    let ((year, month, day), (hour, minute, second)) = (date(at.div_euclid(DAY_SECONDS)), clock(at));
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000+0000")
}

pub fn clock(at: i64) -> (i64, i64, i64) {
    let seconds = at.rem_euclid(DAY_SECONDS);
    (seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(short(0), "01/01/70 00:00:00");
        assert_eq!(long(951_827_696), "2000-02-29T12:34:56.000+0000");
        assert_eq!(short(1_795_271_100), "21/11/26 14:25:00");
    }
}
