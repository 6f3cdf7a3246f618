use std::fmt;
use std::time::Duration;

/// Prints a duration for human readers, rounded up, such as `250 ms`, `2.5 s`, `12 s`, `30 min` or
/// `8 h 50 min`.
#[must_use]
pub fn rounded(duration: Duration) -> impl fmt::Display {
    Rounded(duration)
}

struct Rounded(Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_nanos().div_ceil(1_000_000);
        let tenths = millis.div_ceil(100);
        let seconds = millis.div_ceil(1_000);
        let minutes = seconds.div_ceil(60);
        match seconds {
            _ if millis < 1_000 => write!(f, "{millis} ms"),
            0..10 if tenths % 10 > 0 => write!(f, "{}.{} s", tenths / 10, tenths % 10),
            0..120 => write!(f, "{seconds} s"),
            120..600 => two_units(f, seconds, ("min", "s")),
            _ if minutes < 120 => write!(f, "{minutes} min"),
            _ if minutes < 600 => two_units(f, minutes, ("h", "min")),
            _ => write!(f, "{} h", minutes.div_ceil(60)),
        }
    }
}

/// Prints a number of the smaller unit as both units, without a zero of the smaller one.
fn two_units(f: &mut fmt::Formatter<'_>, small: u128, names: (&str, &str)) -> fmt::Result {
    write!(f, "{} {}", small / 60, names.0)?;
    match small % 60 {
        0 => Ok(()),
        rest => write!(f, " {rest} {}", names.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_is_rounded_up_to_readable_units() {
        for (millis, text) in [
            (0, "0 ms"),
            (250, "250 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (1_001, "1.1 s"),
            (2_500, "2.5 s"),
            (9_901, "10 s"),
            (10_001, "11 s"),
            (119_000, "119 s"),
            (119_001, "2 min"),
            (150_000, "2 min 30 s"),
            (600_000, "10 min"),
            (1_800_000, "30 min"),
            (1_800_001, "31 min"),
            (7_140_001, "2 h"),
            (31_800_000, "8 h 50 min"),
            (86_400_000, "24 h"),
        ] {
            let rounded = rounded(Duration::from_millis(millis));
            assert_eq!(rounded.to_string(), text, "{millis} ms");
        }
        assert_eq!(rounded(Duration::from_nanos(1)).to_string(), "1 ms");
        assert_eq!(rounded(Duration::MAX).to_string(), "5124095576030432 h");
    }
}
