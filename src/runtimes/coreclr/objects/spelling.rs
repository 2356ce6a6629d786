//! Values of well-known structures in their usual spelling: dates, durations, identifiers, numbers of many digits.
//!
//! Input: their fields. Output: text as `ToString` writes it in the invariant culture, dates as its format `u` does. Specification: dotnet/runtime
//! src/libraries/System.Private.CoreLib/src/System/{DateTime,TimeSpan,Guid,Decimal}.cs.

use std::fmt::Write;

/// Steps of 100 ns in a second, and seconds of a day.
const TICKS: u64 = 10_000_000;
const DAY: u64 = 86_400;
/// Words of 32 bits of a number that are spelled in decimals.
const MAX_WORDS: usize = 128;

/// `2026-05-06 07:08:09Z` of `DateTime._dateData`: kind in the two highest bits, in the others steps of 100 ns since the year 1.
pub(super) fn date(data: u64) -> String {
    const UTC: u64 = 1;
    let kind = data >> 62;
    let text = moment(data & (u64::MAX >> 2));
    if kind == UTC { format!("{text}Z") } else { text }
}

/// `2026-05-06 09:08:09 +02:00`: a moment of UTC and how many minutes the clock there is before it.
pub(super) fn date_with_offset(utc: u64, minutes: i64) -> String {
    let utc = utc & (u64::MAX >> 2);
    let local = utc.saturating_add_signed(minutes.saturating_mul(60).saturating_mul(TICKS.cast_signed()));
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    format!("{} {sign}{:02}:{:02}", moment(local), minutes / 60, minutes % 60)
}

fn moment(ticks: u64) -> String {
    let seconds = ticks / TICKS;
    format!("{} {}", day(seconds / DAY), clock(seconds % DAY, ticks % TICKS))
}

/// `2026-05-06`: so many days after the first of the year 1.
pub(super) fn day(days: u64) -> String {
    // Source: the Gregorian calendar: 400 years have 146,097 days; counted from March, leap days come last.
    let days = days.saturating_add(306);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year =
        of_era.saturating_sub(of_era / 1460).saturating_add(of_era / 36_524).saturating_sub(of_era / 146_096) / 365;
    let before = year.saturating_mul(365).saturating_add(year / 4).saturating_sub(year / 100);
    let of_year = of_era.saturating_sub(before);
    let month = of_year.saturating_mul(5).saturating_add(2) / 153;
    let day = of_year.saturating_sub(month.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let (month, next) = if month < 10 { (month.saturating_add(3), 0) } else { (month.saturating_sub(9), 1) };
    let year = era.saturating_mul(400).saturating_add(year).saturating_add(next);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `07:08:09.5`: seconds and steps of 100 ns.
fn clock(seconds: u64, steps: u64) -> String {
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if steps != 0 {
        let fraction = format!("{steps:07}");
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
    text
}

/// `07:08:09.5`: a time of day in steps of 100 ns.
pub(super) fn time(ticks: u64) -> String {
    clock(ticks / TICKS, ticks % TICKS)
}

/// `-3.01:30:00`: a duration in steps of 100 ns; days stand before the point.
pub(super) fn duration(ticks: i64) -> String {
    let all = ticks.unsigned_abs();
    let seconds = all / TICKS;
    let mut text = if ticks < 0 { "-".to_owned() } else { String::new() };
    if seconds >= DAY {
        text.push_str(&format!("{}.", seconds / DAY));
    }
    text.push_str(&clock(seconds % DAY, all % TICKS));
    text
}

/// `00112233-4455-6677-8899-aabbccddeeff`, of its 16 bytes in their order in memory.
pub(super) fn guid(bytes: u128) -> String {
    let bytes = bytes.to_le_bytes();
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
    let mut text = format!("{:08x}-", u32::from_le_bytes([a, b, c, d]));
    let _ = write!(text, "{:04x}-{:04x}-", u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]));
    for (index, byte) in rest.iter().enumerate() {
        let _ = write!(text, "{}{byte:02x}", if index == 2 { "-" } else { "" });
    }
    text
}

/// `-12.50`: `_flags` has the sign in its highest bit, in bits 16 to 23 how many digits stand behind the point.
pub(super) fn decimal(flags: u32, high: u32, low: u64) -> String {
    let digits = (u128::from(high) << 64 | u128::from(low)).to_string();
    let scale = usize::try_from(flags >> 16 & 0xff).unwrap_or(0);
    let digits = format!("{digits:0>width$}", width = scale.saturating_add(1));
    let (whole, rest) = digits.split_at(digits.len().saturating_sub(scale));
    let sign = if flags >> 31 != 0 { "-" } else { "" };
    if rest.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
}

/// A number of many digits: its sign, and its size in words of 32 bits, the lowest first. Of one too long how many bits it has.
pub(super) fn integer(is_minus: bool, words: &[u32]) -> String {
    const GROUP: u64 = 1_000_000_000;
    let sign = if is_minus { "-" } else { "" };
    if words.len() > MAX_WORDS {
        return format!("{sign}(a number of {} bits)", words.len().saturating_mul(32));
    }
    let mut words = words.to_vec();
    let mut groups = Vec::new();
    while words.iter().any(|word| *word != 0) {
        let mut rest = 0u64;
        for word in words.iter_mut().rev() {
            let whole = rest << 32 | u64::from(*word);
            *word = u32::try_from(whole / GROUP).unwrap_or(u32::MAX);
            rest = whole % GROUP;
        }
        groups.push(rest);
    }
    let Some(first) = groups.pop() else { return "0".to_owned() };
    let mut text = format!("{sign}{first}");
    groups.iter().rev().for_each(|group| text.push_str(&format!("{group:09}")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks of the first second of 1970 and of 2000. Source: DateTime.UnixEpoch.Ticks; `new DateTime(2000, 1, 1).Ticks`.
    const OF_1970: u64 = 621_355_968_000_000_000;
    const OF_2000: u64 = 630_822_816_000_000_000;

    #[test]
    fn a_date_is_told_with_its_kind() {
        assert_eq!(date(OF_1970 | 1 << 62), "1970-01-01 00:00:00Z");
        assert_eq!(date(OF_2000), "2000-01-01 00:00:00");
        // 29 February 2000, 23:59:59.5, local.
        assert_eq!(date((OF_2000 + (59 * DAY + DAY - 1) * TICKS + TICKS / 2) | (2 << 62)), "2000-02-29 23:59:59.5");
        // DateTime.MinValue, DateTime.MaxValue.
        assert_eq!(date(0), "0001-01-01 00:00:00");
        assert_eq!(date(3_155_378_975_999_999_999), "9999-12-31 23:59:59.9999999");
        assert_eq!(date_with_offset(OF_2000, 120), "2000-01-01 02:00:00 +02:00");
        assert_eq!(date_with_offset(OF_2000, -90), "1999-12-31 22:30:00 -01:30");
        // DateOnly.FromDateTime(DateTime.UnixEpoch).DayNumber
        assert_eq!(day(719_162), "1970-01-01");
        let _ = (date(u64::MAX), day(u64::MAX), date_with_offset(u64::MAX, i64::MIN));
    }

    #[test]
    fn a_duration_has_days_before_its_point() {
        assert_eq!(duration(90 * 60 * 10_000_000), "01:30:00");
        assert_eq!(duration(-((3 * 86_400 + 1) * 10_000_000 + 1)), "-3.00:00:01.0000001");
        assert_eq!(duration(0), "00:00:00");
        // TimeSpan.MinValue
        assert_eq!(duration(i64::MIN), "-10675199.02:48:05.4775808");
        assert_eq!(time(36_000_000_000), "01:00:00");
    }

    #[test]
    fn identifiers_and_numbers_are_spelled_as_usual() {
        // new Guid("00112233-4455-6677-8899-aabbccddeeff").ToByteArray()
        let bytes = [0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        assert_eq!(guid(u128::from_le_bytes(bytes)), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(decimal(2 << 16, 0, 1250), "12.50");
        assert_eq!(decimal(1 << 31 | 3 << 16, 0, 5), "-0.005");
        // decimal.MaxValue
        assert_eq!(decimal(0, u32::MAX, u64::MAX), "79228162514264337593543950335");
        assert_eq!(integer(false, &[]), "0");
        assert_eq!(integer(true, &[0, 0, 1]), "-18446744073709551616");
        assert_eq!(integer(false, &[1_000_000_007]), "1000000007");
        assert_eq!(integer(false, &vec![1; 200]), "(a number of 6400 bits)");
    }
}
