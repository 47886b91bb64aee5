//! Numbers, dates, truth values, addresses and bytes, as conditions write them.

use std::{cmp::Ordering, net::IpAddr};

/// A number as JSON writes it.
pub(crate) fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    plain.then(|| text.parse().ok()).flatten().filter(|number: &f64| number.is_finite())
}

pub(crate) fn truth(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Milliseconds since 1970 of a W3C date (`2026`, `2026-11`, `2026-11-21`, `2026-11-21T10:00Z`, `…T10:00:30.5+01:00`) or of a number of
/// seconds. A time without a zone is UTC.
pub(crate) fn date(text: &str) -> Option<i64> {
    if text.len() > 4 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    let (day, time) = match text.split_once(['T', 't']) {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let mut pieces = day.splitn(3, '-').map(digits);
    let year = pieces.next()??;
    let month = pieces.next().map_or(Some(1), |piece| piece).filter(|month| (1..=12).contains(month))?;
    let day = pieces.next().map_or(Some(1), |piece| piece).filter(|day| (1..=31).contains(day))?;
    let day_milliseconds = days_from_civil(year, month, day).checked_mul(86_400_000)?;
    day_milliseconds.checked_add(time.map_or(Some(0), time_of_day)?)
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// Milliseconds since midnight UTC.
fn time_of_day(text: &str) -> Option<i64> {
    let zone_at = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at(zone_at);
    let offset = match zone.as_bytes().first() {
        None | Some(b'Z' | b'z') => 0,
        Some(sign) => {
            let (hours, minutes) = zone[1..].split_once(':').unwrap_or((&zone[1..], "0"));
            let minutes = digits(hours)? * 60 + digits(minutes)?;
            if *sign == b'-' { -minutes } else { minutes }
        }
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let milliseconds = match fraction {
        "" => 0,
        fraction if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits(&format!("{fraction:0<3}")[..3])?
        }
        _ => return None,
    };
    let mut pieces = clock.splitn(3, ':').map(digits);
    let hours = pieces.next()??;
    let minutes = pieces.next().unwrap_or(Some(0))?;
    let seconds = pieces.next().unwrap_or(Some(0))?;
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    Some(((hours * 60 + minutes - offset) * 60 + seconds) * 1000 + milliseconds)
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

/// A range of addresses; a single address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    address: IpAddr,
    length: u32,
}

impl Range {
    pub(crate) fn parse(text: &str) -> Option<Range> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Some(most), |length| length.parse().ok())?;
        (length <= most).then_some(Range { address, length })
    }

    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        let bits = |value: u128, width: u32| value.checked_shr(width - self.length).unwrap_or(0);
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                bits(u128::from(own.to_bits()), 32) == bits(u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => bits(own.to_bits(), 128) == bits(other.to_bits(), 128),
            _ => false,
        }
    }
}

/// How an order is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    pub(crate) fn is(self, found: Ordering) -> bool {
        match self {
            Order::Equal => found == Ordering::Equal,
            Order::Less => found == Ordering::Less,
            Order::LessOrEqual => found != Ordering::Greater,
            Order::Greater => found == Ordering::Greater,
            Order::GreaterOrEqual => found != Ordering::Less,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_precision() {
        for (text, expected) in [
            ("1970", Some(0)),
            ("1970-01-02", Some(86_400_000)),
            ("2026-11", Some(1_793_491_200_000)),
            ("2000-02-29T12:30Z", Some(951_827_400_000)),
            ("2026-11-21T10:35:52.25+01:00", Some(1_795_253_752_250)),
            ("1795253752", Some(1_795_253_752_000)),
            ("2026-13-01", None),
            ("2026-11-21T25:00Z", None),
            ("2026-11-21T10:35:52.éé", None),
            ("2026-11-21T10:35:52.123x", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(date(text), expected, "{text}");
        }
    }

    #[test]
    fn ranges_hold_what_is_in_them() {
        let holds = |range: &str, address: &str| Range::parse(range).unwrap().holds(address.parse().unwrap());
        assert!(holds("10.1.2.3", "10.1.2.3") && !holds("10.1.2.3", "10.1.2.4"));
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "1.2.3.4") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::5") && holds("::/0", "::1"));
        assert_eq!(Range::parse("10.0.0.0/33"), None);
    }
}
