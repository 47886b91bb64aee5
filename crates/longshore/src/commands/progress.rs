//! Progress bars of images that are pulled and pushed, on the terminal of whoever runs the platform in the foreground.
//!
//! A bar appears when a transfer has taken a second and goes when it is over. What else is written meanwhile goes above the bars: the
//! log through [`LogWriter`], everything else within `screen().suspend`. Nothing is drawn where standard error is no terminal.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    sync::OnceLock,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use vocabulary::{Direction, TransferProgress, Transfers};

/// Shorter transfers are over before they could be read.
const WORTH_SHOWING: Duration = Duration::from_secs(1);
const REDRAWN: Duration = Duration::from_millis(200);
/// More than this many at once say nothing to anybody; the oldest are shown.
const MOST_BARS: usize = 8;

const WITH_TOTAL: &str = "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
const WITHOUT_TOTAL: &str = "{msg} {bytes}, {bytes_per_sec}";

/// What is drawn on standard error.
pub(super) fn screen() -> &'static MultiProgress {
    static SCREEN: OnceLock<MultiProgress> = OnceLock::new();
    SCREEN.get_or_init(MultiProgress::new)
}

/// Standard error, with the bars out of the way for each line.
#[derive(Debug)]
pub(super) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        screen().suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Draws the transfers for as long as the process runs.
pub(super) fn show(transfers: Transfers) {
    if !io::stderr().is_terminal() {
        return;
    }
    tokio::spawn(async move {
        let mut bars = Bars::default();
        let mut ticks = tokio::time::interval(REDRAWN);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            bars.draw(&transfers.under_way(), Instant::now());
        }
    });
}

#[derive(Debug, Default)]
struct Bars {
    /// By the transfer's number: when it was first seen, and its bar once it has one.
    seen: BTreeMap<u64, (Instant, Option<ProgressBar>)>,
}

impl Bars {
    fn draw(&mut self, under_way: &[TransferProgress], now: Instant) {
        self.seen.retain(|number, (_, bar)| {
            let goes_on = under_way.iter().any(|transfer| transfer.number == *number);
            if let Some(bar) = bar.as_ref().filter(|_| !goes_on) {
                bar.finish_and_clear();
                screen().remove(bar);
            }
            goes_on
        });
        let mut shown = self.seen.values().filter(|(_, bar)| bar.is_some()).count();
        for transfer in under_way {
            let (since, bar) = self.seen.entry(transfer.number).or_insert((now, None));
            // A pull whose image is not known yet has nothing to show.
            let worth = now.duration_since(*since) >= WORTH_SHOWING && transfer.bytes > 0;
            if bar.is_none() && worth && shown < MOST_BARS {
                *bar = Some(screen().add(new_bar(transfer)));
                shown += 1;
            }
            if let Some(bar) = bar {
                bar.set_position(transfer.bytes);
            }
        }
    }
}

fn new_bar(transfer: &TransferProgress) -> ProgressBar {
    let (bar, template) = match transfer.total {
        Some(total) => (ProgressBar::new(total), WITH_TOTAL),
        None => (ProgressBar::no_length(), WITHOUT_TOTAL),
    };
    // The templates are constants that a test has tried.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    let doing = match transfer.direction {
        Direction::Pull => "Pulling",
        Direction::Push => "Receiving",
    };
    bar.with_message(format!("{doing} {}", transfer.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_a_while_gets_a_bar_and_loses_it_at_its_end() {
        let transfers = Transfers::default();
        let pull = transfers.begin(Direction::Pull, "web:v1", Some(100));
        pull.set(10);
        let (mut bars, start) = (Bars::default(), Instant::now());
        let has_bar = |bars: &Bars| bars.seen.values().any(|(_, bar)| bar.is_some());
        bars.draw(&transfers.under_way(), start);
        assert!(!has_bar(&bars));
        bars.draw(&transfers.under_way(), start + WORTH_SHOWING);
        assert!(has_bar(&bars));
        pull.set(60);
        bars.draw(&transfers.under_way(), start + WORTH_SHOWING + REDRAWN);
        assert_eq!(
            bars.seen.values().next().and_then(|(_, bar)| bar.as_ref()).map(ProgressBar::position),
            Some(60)
        );
        drop(pull);
        bars.draw(&transfers.under_way(), start + 2 * WORTH_SHOWING);
        assert!(bars.seen.is_empty());
    }

    #[test]
    fn the_templates_can_be_read() {
        for template in [WITH_TOTAL, WITHOUT_TOTAL] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
