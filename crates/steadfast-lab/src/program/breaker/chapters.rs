//! The tables of the page.
//!
//! Each table has one row per breaker, ours in bold. A number that cannot be computed is a dash.

use super::measure::{Measured, Measurement, NOISE, Outages, on_all_cores};
use crate::breaker::{CROWD, Counts, Detection, MONTH, Noise, Observed, quantile};
use crate::program::numbers::{NONE, mean, percent, seconds};
use crate::program::table::Table;

/// The alternative windows in the table of rules: failures of the last calls.
const WINDOWS: [(u32, u32); 6] = [(9, 17), (9, 18), (10, 18), (10, 19), (10, 20), (11, 20)];
/// The alternative sums in the table of rules: failures in excess of a share in percent.
const SUMS: [(u32, u32); 5] = [(5, 22), (6, 18), (6, 22), (6, 26), (7, 22)];

/// Returns all chapters, each with a heading, a text and a table.
pub(crate) fn chapters(measured: &Measured) -> String {
    let Measured {
        breakers,
        variations,
    } = measured;
    let all = breakers.iter().map(|one| (name(one), &one.outages));
    let varied = variations.iter().map(|one| (one.name.to_owned(), one));
    [
        chapter("In one table", "", &summary(breakers)),
        chapter("How soon it opens", HOW_SOON, &detections(breakers)),
        chapter("False alarms", FALSE_ALARMS, &noise(breakers)),
        chapter("Which rule", WHICH_RULE, &rules()),
        chapter("An outage and after it", OUTAGE, &outages(all)),
        chapter("How to come back", COME_BACK, &outages(varied)),
    ]
    .concat()
}

/// The text of the chapter on detection.
const HOW_SOON: &str = "\
In requests. A total outage is met by a breaker that is new, or that has seen a minute of successes; \
in half of an outage every second request fails by chance, after the same minute.\n\n";

/// The text of the chapter on false alarms.
const FALSE_ALARMS: &str = "\
In a month of 259 million calls that a closed breaker lets through, of which some fail, independently \
of each other. Computed is the exact chance, for rules that count and nothing else; `≥` stands where \
a rule has another part, which is left out. Seen is what a simulation counted, and how often in all. \
Starts are breakers that open within their first 40 s at 5 %.\n\n";

/// The text of the chapter on alternative rules.
const WHICH_RULE: &str = "\
Seven consecutive failures, or a number of failures among the last calls, or in excess of a share. \
All numbers are computed.\n\n";

/// The text of the chapter on outages.
const OUTAGE: &str = "\
Two minutes of traffic that is well, an outage of 30 to 90 s, and traffic that is well again, at 100 \
requests a second with answers after 50 ms. Sent is what went into the outage, on average, and whole \
is from its end until no request is rejected any more. Slow probes take 10 s. Of cancelled ones the \
callers of the first three after the outage go away after a second.\n\n";

/// The text of the chapter on recovery.
const COME_BACK: &str = "\
`steadfast-balance` in the same outages, and with other settings.\n\n";

/// Returns a chapter.
fn chapter(heading: &str, text: &str, table: &Table) -> String {
    format!("## {heading}\n\n{text}{table}\n")
}

/// Creates a table without rows.
fn table(header: &[&str]) -> Table {
    Table::new(header.iter().map(|&cell| cell.to_owned()).collect())
}

/// Returns the table with the most important numbers of each breaker.
fn summary(measured: &[Measurement]) -> Table {
    let at_once = format!("of {CROWD} at once");
    let mut table = table(&[
        "breaker",
        "total outage",
        "half: median",
        "p90",
        "false a month, 5 %",
        "sent after it opened",
        "whole s: median",
        "p90",
        &at_once,
    ]);
    for one in measured {
        let usual = &one.outages.usual;
        let half = &one.detection.half;
        table.push(vec![
            name(one),
            number(one.detection.warm),
            number(quantile(half, 0.5)),
            number(quantile(half, 0.9)),
            computed(one, 1).unwrap_or_else(|| format!("{} seen", rate(one.noise[0].a_month()))),
            after(usual),
            whole(usual, 0.5),
            whole(usual, 0.9),
            number(one.crowd),
        ]);
    }
    table
}

/// Returns the table on detection, in requests.
fn detections(measured: &[Measurement]) -> Table {
    let within = format!("opens within {}, %", Detection::LIMIT);
    let mut table = table(&[
        "breaker",
        "total, new",
        "total, after a minute",
        "half: median",
        "p90",
        &within,
    ]);
    for one in measured {
        let Detection { cold, warm, half } = &one.detection;
        table.push(vec![
            name(one),
            number(*cold),
            number(*warm),
            number(quantile(half, 0.5)),
            number(quantile(half, 0.9)),
            percent(one.detection.share()),
        ]);
    }
    table
}

/// Returns the table on false alarms per month.
fn noise(measured: &[Measurement]) -> Table {
    let mut table = table(&[
        "breaker",
        "computed, 1 %",
        "computed, 5 %",
        "seen, 5 %",
        "computed, 10 %",
        "seen, 10 %",
        "starts %",
    ]);
    for one in measured {
        let computed = |noise| computed(one, noise).unwrap_or_else(|| NONE.to_owned());
        table.push(vec![
            name(one),
            computed(0),
            computed(1),
            seen(one.noise[0]),
            computed(2),
            seen(one.noise[1]),
            percent(one.starts),
        ]);
    }
    table
}

/// Returns the table on alternative rules, all computed.
fn rules() -> Table {
    let mut table = table(&["or", "half: median", "p90", "false a month, 5 %"]);
    let seven = Counts::in_a_row(7);
    let windows = WINDOWS.map(|(failures, window)| {
        let about = format!("{failures} of the last {window}");
        (about, seven.or_of_last(failures, window))
    });
    let sums = SUMS.map(|(failures, percent)| {
        let about = format!("{failures} beyond {percent} %");
        (about, seven.or_beyond(failures, percent))
    });
    let rows = on_all_cores([&windows[..], &sums].concat(), |(about, counts)| {
        let until = counts.calls_until(&[0.5, 0.9], 0.5, Detection::LIMIT);
        vec![
            about,
            number(until.first()),
            number(until.get(1)),
            rate(counts.chance(NOISE[0]) * MONTH),
        ]
    });
    for row in rows {
        table.push(row);
    }
    table
}

/// Returns the table on outages, in requests and seconds.
fn outages<'a>(rows: impl Iterator<Item = (String, &'a Outages)>) -> Table {
    let mut table = table(&[
        "breaker",
        "sent",
        "after it opened",
        "whole s: median",
        "p90",
        "slow probes: median",
        "p90",
        "cancelled: median",
        "p90",
    ]);
    for (name, outages) in rows {
        let sent = mean(outages.usual.iter().map(|seen| f64::from(seen.sent)));
        let mut row = vec![
            name,
            sent.map_or_else(|| NONE.to_owned(), |sent| format!("{sent:.0}")),
            after(&outages.usual),
        ];
        for seen in [&outages.usual, &outages.slow, &outages.cancelled] {
            row.extend([whole(seen, 0.5), whole(seen, 0.9)]);
        }
        table.push(row);
    }
    table
}

/// Returns the name in the first column.
fn name(one: &Measurement) -> String {
    match one.row.is_ours() {
        true => format!("**{}**", one.row.name()),
        false => one.row.name().to_owned(),
    }
}

/// Returns a number, or a dash.
fn number<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

/// Returns the computed false alarms per month, if the rule allows it.
fn computed(one: &Measurement, noise: usize) -> Option<String> {
    let least = if one.row.counts()?.is_part() {
        "≥ "
    } else {
        ""
    };
    Some(format!("{least}{}", rate(one.computed?[noise])))
}

/// Returns the simulated false alarms per month, with their count.
fn seen(noise: Noise) -> String {
    format!("{} ({})", rate(noise.a_month()), noise.trips)
}

/// Formats a rate per month, which ranges over twelve orders of magnitude.
fn rate(a_month: f64) -> String {
    match a_month {
        0.0 => "0".to_owned(),
        ..0.01 => format!("{a_month:.0e}"),
        ..10.0 => format!("{a_month:.2}"),
        _ => format!("{a_month:.0}"),
    }
}

/// Returns the mean number of requests that were sent into an outage after the breaker had opened.
fn after(outages: &[Observed]) -> String {
    let opened = outages.iter().filter(|seen| seen.opened);
    let mean = mean(opened.map(|seen| f64::from(seen.sent_after)));
    mean.map_or_else(|| NONE.to_owned(), |mean| format!("{mean:.1}"))
}

/// Returns a quantile of the time until full traffic, `never`, or a dash if the breaker did not
/// open.
fn whole(outages: &[Observed], share: f64) -> String {
    if !outages.iter().any(|seen| seen.opened) {
        return NONE.to_owned();
    }
    let times: Vec<_> = outages.iter().map(|seen| seen.whole).collect();
    quantile(&times, share).map_or_else(|| "never".to_owned(), seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_about_three_digits() {
        for (a_month, expected) in [
            (0.0, "0"),
            (2.77e-6, "3e-6"),
            (0.192, "0.19"),
            (1.439, "1.44"),
            (76.95, "77"),
            (7_109.9, "7110"),
        ] {
            assert_eq!(rate(a_month), expected);
        }
    }
}
