use aws_schema::{IntegerTable, TimestampFormat};
use proptest::prelude::*;

use crate::text::{
    base64_decode, crc32, fit_integer, format_timestamp, format_unix, parse_float, parse_timestamp,
    percent_decode,
};

#[test]
fn timestamps() {
    for (text, seconds) in [
        ("2026-11-21T07:35:49Z", Some(1_795_246_549.0)),
        ("2026-11-21T07:35:49.125Z", Some(1_795_246_549.125)),
        ("2026-11-21T08:35:49+01:00", Some(1_795_246_549.0)),
        ("2026-11-21", Some(1_795_219_200.0)),
        ("Sat, 21 Nov 2026 07:35:49 GMT", Some(1_795_246_549.0)),
        ("1795246549", Some(1_795_246_549.0)),
        ("1795246549.5", Some(1_795_246_549.5)),
        ("1969-12-31T23:59:59Z", Some(-1.0)),
        ("0000-03-01T00:00:00Z", Some(-62_162_035_200.0)),
        ("2026-13-21T07:35:49Z", None),
        ("2026-11-21T25:35:49Z", None),
        ("2026-11-21T07:35:49.Z", None),
        ("2026-11-21T07:35:49.1234567890Z", Some(1_795_246_549.123_456_8)),
        ("2026-11-21T07:35:49.123456789e300Z", None),
        ("Sat, 21 Nov 2026 07:35:49.123456789e300 GMT", None),
        ("2026-11-21T07:35:49é", None),
        ("NaN", None),
        ("yesterday", None),
        ("", None),
        ("99999999999999999999-01-01", None),
    ] {
        assert_eq!(parse_timestamp(text), seconds, "{text}");
    }
    assert_eq!(format_timestamp(-1.0, TimestampFormat::HttpDate), "Wed, 31 Dec 1969 23:59:59 GMT");
    assert_eq!(format_timestamp(f64::INFINITY, TimestampFormat::Iso8601), "9999-12-31T23:59:59.999Z");
    assert_eq!(format_timestamp(f64::NAN, TimestampFormat::Iso8601), "1970-01-01T00:00:00Z");
    assert_eq!(format_unix(1_700_000_000.125), "1700000000.125");
}

#[test]
fn scalars() {
    let byte = IntegerTable { bits: 8, min: None, max: None };
    assert_eq!(
        [-129, -128, 127, 128].map(|number| fit_integer(number, &byte)),
        [None, Some(-128), Some(127), None]
    );
    assert_eq!(["inf", "nan", "infinity", "1e", ""].map(parse_float), [None; 5]);
    assert_eq!(base64_decode("aGk=").as_deref(), Some(&b"hi"[..]));
    assert_eq!(base64_decode("aGk").as_deref(), Some(&b"hi"[..]));
    assert_eq!(base64_decode("a\r\nGk=").as_deref(), Some(&b"hi"[..]));
    assert_eq!(base64_decode("a!"), None);
    assert_eq!(percent_decode("a%20b+%2", false), "a b+%2");
    assert_eq!(percent_decode("a+%zz%C3%A9%ff", true), "a %zzé\u{fffd}");
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

proptest! {
    #[test]
    fn written_times_are_read_back(millis in -62_167_219_200_000i64..253_402_300_799_999) {
        let seconds = millis as f64 / 1000.0;
        for format in [TimestampFormat::Iso8601, TimestampFormat::Unix] {
            let back = parse_timestamp(&format_timestamp(seconds, format)).unwrap();
            prop_assert_eq!((back * 1000.0).round() as i64, millis);
        }
        let back = parse_timestamp(&format_timestamp(seconds, TimestampFormat::HttpDate)).unwrap();
        prop_assert_eq!(back as i64, millis.div_euclid(1000));
    }

    #[test]
    fn no_text_breaks_the_readers(text in any::<String>()) {
        parse_timestamp(&text);
        parse_float(&text);
        base64_decode(&text);
        percent_decode(&text, true);
    }
}
