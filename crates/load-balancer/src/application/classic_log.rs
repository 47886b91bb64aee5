//! One line for each request, in the format that the guide gives for access logs of classic load balancers.
//!
//! Sizes are those of bodies. An instance is named only when it has answered.

use std::{fmt, time::Duration};

use super::log::{Entry, Quoted, Time, or_none};

/// A line as classic load balancers have it.
pub(crate) struct Classic<'a>(pub &'a Entry);

impl fmt::Display for Classic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.0;
        let text = |some: Option<String>| some.unwrap_or_else(|| "-".to_owned());
        let answered = entry.target.filter(|_| entry.target_status.is_some());
        write!(f, "{} {} ", Time(entry.began_unix), entry.load_balancer)?;
        write!(f, "{} ", text(entry.client.map(|client| client.to_string())))?;
        write!(f, "{} ", text(answered.map(|target| target.to_string())))?;
        write!(f, "{} ", Times([entry.request_time, entry.target_time, entry.response_time]))?;
        write!(f, "{} {} ", entry.status, text(entry.target_status.map(|status| status.to_string())))?;
        let received = entry.received_bytes.saturating_sub(entry.received_head_bytes);
        let sent = entry.sent_bytes.saturating_sub(entry.sent_head_bytes);
        write!(f, "{received} {sent} \"{}\" ", Quoted(&entry.request))?;
        write!(f, "\"{}\" ", Quoted(or_none(&entry.user_agent)))?;
        write!(f, "{} {}", or_none(&entry.tls_cipher), or_none(entry.tls_version))
    }
}

/// Times of the three parts, to the microsecond; -1 where there was no such part.
pub(crate) struct Times(pub [Option<Duration>; 3]);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, time) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            match time {
                Some(time) => write!(f, "{space}{:.6}", time.as_secs_f64())?,
                None => write!(f, "{space}-1")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_the_guide_has_them() {
        let answered = Entry {
            began_unix: Duration::from_micros(1_431_560_383_945_958),
            load_balancer: "my-loadbalancer".into(),
            client: "192.168.131.39:2817".parse().ok(),
            target: "10.0.0.1:80".parse().ok(),
            request_time: Some(Duration::from_micros(86)),
            target_time: Some(Duration::from_micros(1048)),
            response_time: Some(Duration::from_micros(1337)),
            status: 200,
            target_status: Some(200),
            received_bytes: 120,
            received_head_bytes: 120,
            sent_bytes: 157,
            sent_head_bytes: 100,
            request: "GET https://www.example.com:443/ HTTP/1.1".into(),
            user_agent: "curl/7.38.0".into(),
            tls_cipher: "DHE-RSA-AES128-SHA".into(),
            tls_version: "TLSv1.2",
            ..Entry::default()
        };
        assert_eq!(
            Classic(&answered).to_string(),
            "2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000086 0.001048 0.001337 \
             200 200 0 57 \"GET https://www.example.com:443/ HTTP/1.1\" \"curl/7.38.0\" DHE-RSA-AES128-SHA TLSv1.2"
        );
        // Nobody answered: the one that was tried is not named.
        let (request_time, target_time, response_time) = (None, None, None);
        let refused = Entry {
            status: 503,
            target_status: None,
            request_time,
            target_time,
            response_time,
            user_agent: String::new(),
            tls_cipher: String::new(),
            tls_version: "",
            ..answered
        };
        assert_eq!(
            Classic(&refused).to_string(),
            "2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817 - -1 -1 -1 503 - 0 57 \
             \"GET https://www.example.com:443/ HTTP/1.1\" \"-\" - -"
        );
    }
}
