//! Scalars as text: times, numbers, base64, percent-encoding.

use aws_schema::{IntegerTable, TimestampFormat};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Clients differ in whether they pad.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// First second of the year 10000, and of the year 0: what the textual formats can hold.
const LATEST: f64 = 253_402_300_799.999;
const EARLIEST: f64 = -62_167_219_200.0;

pub fn base64_encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub fn base64_decode(text: &str) -> Option<Vec<u8>> {
    // Old clients wrap lines.
    if text.contains(['\r', '\n']) {
        let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        return LENIENT.decode(joined).ok();
    }
    LENIENT.decode(text).ok()
}

/// A decimal integer that fits the table's width.
pub fn parse_integer(text: &str, table: &IntegerTable) -> Option<i64> {
    fit_integer(text.trim().parse().ok()?, table)
}

/// `number` when it fits the table's width.
pub fn fit_integer(number: i64, table: &IntegerTable) -> Option<i64> {
    let bound = 1i128 << (u32::from(table.bits.clamp(1, 64)) - 1);
    (-bound..bound).contains(&i128::from(number)).then_some(number)
}

pub fn parse_float(text: &str) -> Option<f64> {
    match text.trim() {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust also takes "inf" and "nan", which no protocol allows.
        other if other.ends_with(|c: char| c.is_ascii_digit() || c == '.') => other.parse().ok(),
        _ => None,
    }
}

pub fn format_float(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else {
        format!("{number:?}")
    }
}

pub fn parse_boolean(text: &str) -> Option<bool> {
    match text.trim() {
        "true" | "True" | "TRUE" | "1" => Some(true),
        "false" | "False" | "FALSE" | "0" => Some(false),
        _ => None,
    }
}

/// Reads any of the three formats; which one a member declares only matters when writing.
pub fn parse_timestamp(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Some(seconds) = parse_float(text).filter(|seconds| seconds.is_finite()) {
        return Some(seconds);
    }
    parse_iso8601(text).or_else(|| parse_http_date(text))
}

/// Seconds since the epoch in `format`.
pub fn format_timestamp(seconds: f64, format: TimestampFormat) -> String {
    let seconds = if seconds.is_nan() { 0.0 } else { seconds.clamp(EARLIEST, LATEST) };
    match format {
        TimestampFormat::Unix => format_unix(seconds),
        TimestampFormat::Iso8601 => {
            // Milliseconds are the finest that the services write.
            let millis = (seconds * 1000.0).round() as i64;
            let (year, month, day, rest) = split(millis.div_euclid(1000));
            let fraction = match millis.rem_euclid(1000) {
                0 => String::new(),
                fraction => format!(".{fraction:03}"),
            };
            format!(
                "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{fraction}Z",
                rest / 3600,
                rest / 60 % 60,
                rest % 60
            )
        }
        TimestampFormat::HttpDate => {
            let whole = seconds.floor() as i64;
            let (year, month, day, rest) = split(whole);
            let weekday = DAYS[whole.div_euclid(86_400).rem_euclid(7) as usize];
            let month = MONTHS[(month - 1) as usize];
            format!(
                "{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT",
                rest / 3600,
                rest / 60 % 60,
                rest % 60
            )
        }
    }
}

/// A JSON number: whole seconds without a fraction, never an exponent.
pub fn format_unix(seconds: f64) -> String {
    let seconds = if seconds.is_finite() { seconds.clamp(EARLIEST, LATEST) } else { 0.0 };
    if seconds.fract() == 0.0 { format!("{}", seconds as i64) } else { format!("{seconds}") }
}

/// Year, month, day and second of the day.
fn split(seconds: i64) -> (i64, i64, i64, i64) {
    let days = seconds.div_euclid(86_400);
    // Howard Hinnant's civil_from_days: years start in March, eras have 400 years.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day, seconds.rem_euclid(86_400))
}

/// Days from the epoch to a date; the inverse of [`split`].
fn days_from(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era_year = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era_year * 365 + of_era_year / 4 - of_era_year / 100 + of_year - 719_468
}

fn seconds_from(date: (i64, i64, i64), clock: (i64, i64, i64)) -> Option<i64> {
    let ((year, month, day), (hour, minute, second)) = (date, clock);
    let valid = (0..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    valid.then(|| days_from(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

fn clock(text: &str) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(':');
    let hour = digits(parts.next()?)?;
    let minute = digits(parts.next()?)?;
    let second = parts.next().map_or(Some(0), digits)?;
    parts.next().is_none().then_some((hour, minute, second))
}

fn parse_iso8601(text: &str) -> Option<f64> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, time),
        None => (text, "00:00:00Z"),
    };
    let mut parts = date.splitn(3, '-');
    let date = (digits(parts.next()?)?, digits(parts.next()?)?, digits(parts.next()?)?);
    let (time, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (time.get(..at)?, parse_offset(time.get(at..)?)?),
        None => (time, 0),
    };
    let (time, fraction) = match time.split_once('.') {
        Some((time, digits)) => (time, fraction(digits)?),
        None => (time, 0.0),
    };
    let seconds = seconds_from(date, clock(time)?)?;
    Some((seconds - offset) as f64 + fraction)
}

/// Of a second, however many digits it has.
fn fraction(digits: &str) -> Option<f64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| format!("0.{digits}").parse().ok())?
}

fn parse_offset(text: &str) -> Option<i64> {
    let sign = match text.chars().next()? {
        'Z' | 'z' => return (text.len() == 1).then_some(0),
        '-' => -1,
        _ => 1,
    };
    let plain: String = text.chars().skip(1).filter(|c| *c != ':').collect();
    if plain.len() != 4 {
        return None;
    }
    Some(sign * (digits(plain.get(..2)?)? * 3600 + digits(plain.get(2..)?)? * 60))
}

/// `Sat, 21 Nov 2026 07:00:00 GMT`, fractions of the second allowed.
fn parse_http_date(text: &str) -> Option<f64> {
    let (_, rest) = text.split_once(',')?;
    let mut parts = rest.split_whitespace();
    let day = digits(parts.next()?)?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))? as i64 + 1;
    let year = digits(parts.next()?)?;
    let time = parts.next()?;
    let (time, fraction) = match time.split_once('.') {
        Some((time, digits)) => (time, fraction(digits)?),
        None => (time, 0.0),
    };
    matches!(parts.next()?, "GMT" | "UTC" | "+0000").then_some(())?;
    Some(seconds_from((year, month, day), clock(time)?)? as f64 + fraction)
}

/// Undoes percent-encoding; `plus` also turns `+` into a space (forms). Bytes that are not UTF-8 become U+FFFD.
pub fn percent_decode(text: &str, plus: bool) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |index: usize| bytes.get(index).and_then(|byte| (*byte as char).to_digit(16));
        match bytes[at] {
            b'%' => match (hex(at + 1), hex(at + 2)) {
                (Some(high), Some(low)) => {
                    decoded.push((high * 16 + low) as u8);
                    at += 2;
                }
                _ => decoded.push(b'%'),
            },
            b'+' if plus => decoded.push(b' '),
            byte => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8(decoded).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// CRC-32 as in Ethernet and zip.
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)])
}
