//! Time and randomness at the edge.

use std::{
    cell::Cell,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// One thread's clock. `now_ms` is as old as the last request or sweep; good for limits, not for measuring.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    start_unix: Duration,
    now_ms: Cell<u64>,
    date: Cell<(u64, [u8; 29])>,
    random: Cell<u64>,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        let mut seed = [0; 8];
        // Without the system's randomness targets are still chosen evenly.
        let _ = getrandom::fill(&mut seed);
        let clock = Clock {
            start: Instant::now(),
            start_unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            now_ms: Cell::new(0),
            date: Cell::new((u64::MAX, [0; 29])),
            random: Cell::new(u64::from_le_bytes(seed)),
        };
        clock.tick();
        clock
    }

    /// Reads the clock.
    pub(crate) fn tick(&self) -> Instant {
        let now = Instant::now();
        self.now_ms.set(now.duration_since(self.start).as_millis() as u64);
        now
    }

    /// Milliseconds since the thread began, at the last tick.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Since 1970, at a moment of this thread's life.
    pub(crate) fn unix(&self, at: Instant) -> Duration {
        self.start_unix + at.duration_since(self.start)
    }

    /// Whole seconds since 1970, at the last tick.
    pub(crate) fn unix_seconds(&self) -> u64 {
        (self.start_unix + Duration::from_millis(self.now_ms.get())).as_secs()
    }

    /// The value of `Date`.
    pub(crate) fn date(&self) -> [u8; 29] {
        let now = self.unix_seconds();
        let (second, text) = self.date.get();
        if second == now {
            return text;
        }
        let text = http_date(now);
        self.date.set((now, text));
        text
    }

    /// The next number: splitmix64.
    pub(crate) fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Year, month (1 to 12) and day of a number of days since 1970 (the civil calendar, after H. Hinnant).
pub(crate) fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// RFC 9110 §5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(unix_seconds: u64) -> [u8; 29] {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = unix_seconds / 86_400;
    let (year, month, day) = civil(days);
    let second = unix_seconds % 86_400;
    let text = format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[(month - 1) as usize],
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    let mut date = [b' '; 29];
    date.copy_from_slice(&text.as_bytes()[..29]);
    date
}
