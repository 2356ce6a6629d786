//! Points in time: ticks of 100 ns since the year 1, as .NET counts them, and the server's clock.

use super::find::property;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::types::Types;

/// Ticks of a millisecond.
pub(super) const TICKS_PER_MS: u64 = 10_000;
/// The server's: it keeps the date that answers carry, and renews it each second. Source: dotnet/aspnetcore DateHeaderValueManager.cs.
pub(super) const CLOCK: &str = "Microsoft.AspNetCore.Server.Kestrel.Core.Internal.Http.DateHeaderValueManager";

/// The ticks of a `DateTime`. Source: dotnet/runtime DateTime.cs: the two highest bits are its kind.
pub(super) fn ticks(data: u64) -> Known<u64> {
    Ok(data & 0x3fff_ffff_ffff_ffff)
}

/// The server's last look at the clock. `clocks`: the objects of [`CLOCK`].
pub(super) fn now(types: Types<'_>, clocks: &[Addr]) -> Known<u64> {
    let read = |clock: &Instance<'_>| -> Known<u64> {
        let none = || Gap::NotRecorded("the server's date".to_owned());
        let values = clock.reference("_dateValues")?.ok_or_else(none)?;
        let text = match values.text("String") {
            Err(Gap::NoLayout(_)) => values.text(&property("String"))?,
            text => text?,
        };
        of_header(&text.ok_or_else(none)?).ok_or_else(none)
    };
    let (mut newest, mut unread) = (None, None);
    for read in clocks.iter().map(|at| types.object(*at).and_then(|clock| read(&clock))) {
        match read {
            Ok(ticks) => newest = newest.max(Some(ticks)),
            Err(gap) => unread = unread.or(Some(gap)),
        }
    }
    let none = || Gap::NotRecorded("the server keeps no date".to_owned());
    newest.ok_or_else(|| unread.unwrap_or_else(none))
}

/// `Sat, 21 Nov 2026 00:28:10 GMT` in ticks.
fn of_header(text: &str) -> Option<u64> {
    /// Seconds from the year 1 to 1970. Source: .NET's DateTime.UnixEpoch.Ticks / 10,000,000.
    const EPOCH: u64 = 62_135_596_800;
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let seconds = u64::try_from(time.as_second()).ok()?;
    seconds.checked_add(EPOCH)?.checked_mul(1000)?.checked_mul(TICKS_PER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_point_in_time() {
        // `new DateTime(2026, 11, 21, 0, 28, 10).Ticks` of .NET.
        assert_eq!(of_header("Sat, 21 Nov 2026 00:28:10 GMT"), Some(639_308_176_900_000_000));
        assert_eq!(of_header("never"), None);
        assert_eq!(ticks(0x8000_0000_0000_0001 | 5), Ok(5));
    }
}
