//! Durations, shares, rates and sizes as people write them, read exactly: no float in between.

use std::time::Duration;

use seawall_core::{Rate, Ratio};

/// `250ms`, `1.5s`, `1m30s`: numbers with units, the larger units first, each at most once.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut nanos = 0u128;
    let mut units = DURATION_UNITS.iter();
    let mut rest = text;
    loop {
        let (billionths, after) = number(rest)?;
        let name = &after[..after.bytes().take_while(u8::is_ascii_lowercase).count()];
        let (_, unit) = units.find(|(unit, _)| *unit == name)?;
        nanos += exactly(billionths.checked_mul(*unit)?)?;
        rest = &after[name.len()..];
        if rest.is_empty() {
            return u64::try_from(nanos).ok().map(Duration::from_nanos);
        }
    }
}

/// `10%`, `0.5%`: to one part per million.
pub(super) fn share(text: &str) -> Option<Ratio> {
    percent(text.strip_suffix('%')?)
}

/// `p95`, `p99.9`.
pub(super) fn quantile(text: &str) -> Option<Ratio> {
    percent(text.strip_prefix('p')?)
}

/// `100/s`, `6000/m`, `1/3s`: whole tokens, and the time in which they are earned.
pub(super) fn rate(text: &str) -> Option<Rate> {
    let (tokens, per) = text.split_once('/')?;
    let (tokens, "") = digits(tokens)? else { return None };
    let bare = per.starts_with(|c: char| c.is_ascii_lowercase());
    let per = if bare { duration(&format!("1{per}"))? } else { duration(per)? };
    Rate::new(u64::try_from(tokens).ok()?, per)
}

/// `512B`, `64KiB`, `1MiB`, `1GiB`: whole bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let (billionths, name) = number(text)?;
    let (_, unit) = SIZE_UNITS.iter().find(|(unit, _)| *unit == name)?;
    u64::try_from(exactly(billionths.checked_mul(*unit)?)?).ok()
}

fn percent(text: &str) -> Option<Ratio> {
    let (billionths, "") = number(text)? else { return None };
    let ppm = exactly(billionths.checked_mul(Ratio::percent(1).ppm().into())?)?;
    u32::try_from(ppm).ok().map(Ratio::from_ppm)
}

/// The number a text starts with, in billionths, and what follows it.
fn number(text: &str) -> Option<(u128, &str)> {
    let (whole, mut rest) = digits(text)?;
    let mut billionths = whole * BILLION;
    if let Some(after) = rest.strip_prefix('.') {
        let (fraction, end) = digits(after)?;
        let places = u32::try_from(after.len() - end.len()).ok().filter(|places| *places <= 9)?;
        billionths += fraction * 10u128.pow(9 - places);
        rest = end;
    }
    Some((billionths, rest))
}

fn digits(text: &str) -> Option<(u128, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    let digits = &text[..count];
    // More is more than 64 bits hold, and keeps the billionths in 128.
    let value = if count <= 18 { digits.parse().ok()? } else { return None };
    Some((value, &text[count..]))
}

/// From billionths to whole ones, if they are whole.
const fn exactly(billionths: u128) -> Option<u128> {
    if billionths.is_multiple_of(BILLION) { Some(billionths / BILLION) } else { None }
}

const BILLION: u128 = 1_000_000_000;

/// In nanoseconds, the largest first.
const DURATION_UNITS: [(&str, u128); 6] = [
    ("h", 3_600 * BILLION),
    ("m", 60 * BILLION),
    ("s", BILLION),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// In bytes. Not `kB`: half of those who write it mean 1024.
const SIZE_UNITS: [(&str, u128); 4] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_to_the_nanosecond() {
        for (text, nanos) in [
            ("250ms", 250_000_000),
            ("1s", 1_000_000_000),
            ("1m", 60_000_000_000),
            ("2h", 7_200_000_000_000),
            ("1.5s", 1_500_000_000),
            ("1m30s", 90_000_000_000),
            ("1h2m3s4ms5us6ns", 3_723_004_005_006),
            ("0.1s", 100_000_000),
            ("0s", 0),
            ("007s", 7_000_000_000),
            ("1.000000001s", 1_000_000_001),
        ] {
            assert_eq!(duration(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_none() {
        for text in [
            "",
            "5",
            "s",
            "1.s",
            ".5s",
            "-1s",
            "+1s",
            "1 s",
            " 1s",
            "1s ",
            "1S",
            "1d",
            "30s1m",
            "1s1s",
            "1sec",
            "0.5ns",
            "1.0000000001s",
            "1e3s",
            "1,5s",
            "1m30",
            "٣s",
            "999999999h",
            "none",
            "9999999999999999999s",
            "999999999999999999h",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn shares_rates_quantiles_and_sizes_are_exact() {
        for (text, ppm) in [
            ("10%", 100_000),
            ("0.5%", 5_000),
            ("0%", 0),
            ("150%", 1_500_000),
            ("33.3333%", 333_333),
        ] {
            assert_eq!(share(text), Some(Ratio::from_ppm(ppm)), "{text}");
        }
        for text in ["10", "%", "10 %", "-1%", "0.00001%", "10%%", "429497%"] {
            assert_eq!(share(text), None, "{text}");
        }
        for (text, tokens, per) in [
            ("100/s", 100, Duration::from_secs(1)),
            ("6000/m", 6_000, Duration::from_secs(60)),
            ("10/h", 10, Duration::from_secs(3_600)),
            ("1/3s", 1, Duration::from_secs(3)),
            ("5/1m30s", 5, Duration::from_secs(90)),
            ("3/1.5ms", 3, Duration::from_micros(1_500)),
            ("0/ns", 0, Duration::from_nanos(1)),
        ] {
            assert_eq!(rate(text), Rate::new(tokens, per), "{text}");
        }
        for text in [
            "100", "/s", "100/", "100 /s", "100/ s", "1.5/s", "-1/s", "100/sec", "100/S", "1/0s",
            "1/2", "100/s/s", "100ps", "1s/1",
        ] {
            assert_eq!(rate(text), None, "{text}");
        }
        assert_eq!(quantile("p95"), Some(Ratio::percent(95)));
        assert_eq!(quantile("p99.9"), Some(Ratio::from_ppm(999_000)));
        assert_eq!(quantile("95"), None);
        for (text, bytes) in
            [("512B", 512), ("64KiB", 65_536), ("1.5MiB", 3 << 19), ("1GiB", 1 << 30)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["64k", "64KB", "64", "0.3KiB", "64 KiB", "999999999999999999GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(nanos: u64) {
            let (nanos, millis) = (nanos % 10u64.pow(18), nanos >> 32);
            prop_assert_eq!(duration(&format!("{nanos}ns")), Some(Duration::from_nanos(nanos)));
            prop_assert_eq!(duration(&format!("{millis}ms")), Some(Duration::from_millis(millis)));
            let written = Rate::new(millis, Duration::from_nanos(nanos.max(1)));
            prop_assert_eq!(written.and_then(|rate| super::rate(&rate.to_string())), written);
        }

        #[test]
        fn nothing_written_panics(text in "[0-9./hmsunp%KMGiB]{0,30}|\\PC{0,30}") {
            let _ = (duration(&text), share(&text), quantile(&text), size(&text), rate(&text));
        }
    }
}
