//! Versions in names and texts. Every function answers `None` where the form is another; what it returns is short and printable.

use std::path::Path;

/// Longest version that is believed.
const MAX_VERSION: usize = 64;

/// A version in the first bytes of `text`: a digit, then digits, letters, `.`, `-`, `+`, `_`.
pub(super) fn leading(text: &[u8]) -> Option<String> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'_');
    let part: Vec<u8> = text.iter().copied().take(MAX_VERSION).take_while(is_part).collect();
    let starts = part.first().is_some_and(u8::is_ascii_digit);
    String::from_utf8(part).ok().filter(|_| starts)
}

/// `9.0.22` of `…/shared/Microsoft.NETCore.App/9.0.22/libcoreclr.so`.
pub(super) fn in_framework_path(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    let framework = folder.parent()?.file_name()?.to_str()?;
    let version = folder.file_name()?.to_str()?;
    if framework != "Microsoft.NETCore.App" {
        return None;
    }
    leading(version.as_bytes()).filter(|found| found.len() == version.len())
}

/// `3.11` of `libpython3.11.so.1.0` or `python3.11`.
pub(super) fn in_python_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let rest = name.strip_prefix("lib").unwrap_or(name).strip_prefix("python")?;
    let (major, rest) = rest.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let is_number = |text: &str| !text.is_empty() && text.len() < 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(&minor)).then(|| format!("{major}.{minor}"))
}

/// `JAVA_VERSION="17.0.15"` of a JDK's file `release`.
pub(super) fn in_java_release(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    leading(line.trim().trim_matches('"').as_bytes())
}

/// `10.0.14` of `@(#)Version 10.0.1426.52326 @Commit: …`: the third number is the patch times 100 plus the build's year.
// Source: measured, 8.0.33 is 8.0.3326.52219, 9.0.22 is 9.0.2226.52218, 10.0.14 is 10.0.1426.52326.
pub(super) fn in_coreclr(bytes: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"@(#)Version ";
    let at = memchr::memmem::find(bytes, MARK)?;
    let version = leading(bytes.get(at.checked_add(MARK.len())?..)?)?;
    let mut parts = version.split('.');
    let (major, minor, build) = (parts.next()?, parts.next()?, parts.next()?.parse::<u32>().ok()?);
    Some(format!("{major}.{minor}.{}", build.checked_div(100)?))
}

/// `9.0.22` of `9.0.22+<40 hexadecimal digits>`, the informational version that a program compiled ahead of time carries.
pub(super) fn in_nativeaot(bytes: &[u8]) -> Option<String> {
    memchr::memchr_iter(b'+', bytes).find_map(|plus| {
        let commit = bytes.get(plus.checked_add(1)?..plus.checked_add(41)?)?;
        if !commit.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let before = bytes.get(plus.saturating_sub(MAX_VERSION)..plus)?;
        let is_part = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
        let start = before.len().saturating_sub(before.iter().rev().take_while(is_part).count());
        let version = leading(before.get(start..)?)?;
        (version.split('.').filter(|part| !part.is_empty()).count() == 3).then_some(version)
    })
}

/// `20.20.2` of the address that Node's own release metadata holds, `…/node-v20.20.2-headers.tar.gz`, or of `node.js/v20.20.2`.
pub(super) fn in_node(bytes: &[u8]) -> Option<String> {
    let after = |mark: &[u8]| {
        memchr::memmem::find_iter(bytes, mark).find_map(|at| {
            let text = leading(bytes.get(at.checked_add(mark.len())?..)?)?;
            let numbers: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let numbers = numbers.trim_end_matches('.');
            (numbers.split('.').count() == 3).then(|| numbers.to_owned())
        })
    };
    after(b"/node-v").or_else(|| after(b"node.js/v"))
}

/// `3.11.2` of PY_VERSION_HEX: major, minor, micro, one byte each, then four bits of level (0xa alpha, 0xb beta, 0xc candidate, 0xf
/// final) and four of serial.
// Source: CPython Include/patchlevel.h; exported as the symbol Py_Version since 3.11.
pub(super) fn of_python_hex(hex: u64) -> Option<String> {
    let [0, 0, 0, 0, major, minor, micro, level] = hex.to_be_bytes() else { return None };
    if !(2..=9).contains(&major) {
        return None;
    }
    let serial = level & 0xf;
    let tail = match level >> 4 {
        0xa => format!("a{serial}"),
        0xb => format!("b{serial}"),
        0xc => format!("rc{serial}"),
        0xf => String::new(),
        _ => return None,
    };
    Some(format!("{major}.{minor}.{micro}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn dotnet_versions() {
        assert_eq!(
            in_framework_path(Path::new("/x/shared/Microsoft.NETCore.App/9.0.22/libcoreclr.so")),
            some("9.0.22")
        );
        assert_eq!(
            in_framework_path(Path::new("/x/Microsoft.NETCore.App/10.0.0-rc.1/libcoreclr.so")),
            some("10.0.0-rc.1")
        );
        assert_eq!(in_framework_path(Path::new("/app/libcoreclr.so")), None);
        assert_eq!(in_framework_path(Path::new("/Microsoft.NETCore.App/\x1b[31m/libcoreclr.so")), None);
        assert_eq!(in_coreclr(b"..\0@(#)Version 10.0.1426.52326 @Commit: 01"), some("10.0.14"));
        assert_eq!(in_coreclr(b"@(#)Version 9.0.124.61010 @Commit"), some("9.0.1"));
        assert_eq!(in_coreclr(b"@(#)Version 9.0"), None);
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(in_nativeaot(format!("1+2 \x079.0.22+{commit}\0").as_bytes()), some("9.0.22"));
        assert_eq!(in_nativeaot(format!("x+{commit}").as_bytes()), None);
    }

    #[test]
    fn java_node_and_python_versions() {
        assert_eq!(in_java_release("IMPLEMENTOR=\"D\"\nJAVA_VERSION=\"17.0.15\"\n"), some("17.0.15"));
        assert_eq!(in_java_release("JAVA_VERSION=\"\x1b[2J\"\n"), None);
        assert_eq!(
            in_node(b"\0https://nodejs.org/download/release/v20.20.2/node-v20.20.2-headers.tar.gz\0"),
            some("20.20.2")
        );
        assert_eq!(in_node(b"/node-vNODE node.js/v18.1.0"), some("18.1.0"));
        assert_eq!(in_node(b"node"), None);
        assert_eq!(in_python_name(Path::new("/usr/bin/python3.11")), some("3.11"));
        assert_eq!(in_python_name(Path::new("/usr/lib/libpython3.13t.so.1.0")), some("3.13"));
        assert_eq!(in_python_name(Path::new("/usr/bin/python3")), None);
        assert_eq!(of_python_hex(0x030b_02f0), some("3.11.2"));
        assert_eq!(of_python_hex(0x030e_00b3), some("3.14.0b3"));
        assert_eq!(of_python_hex(0), None);
        assert_eq!(of_python_hex(u64::MAX), None);
    }
}
