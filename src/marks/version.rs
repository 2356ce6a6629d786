//! Versions in names and texts. Every function answers `None` where the form is another; what it returns is short and
//! printable.

use std::path::Path;

use crate::model::RuntimeKind;

/// Longest version that is believed.
const MAX_VERSION: usize = 64;
/// Most places at which a version is looked for.
const MAX_MARKS: usize = 4096;

/// A version in the first bytes of `text`: a digit, then digits, letters, `.`, `-`, `+`, `_`.
pub fn leading(text: &[u8]) -> Option<String> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'_');
    let part: Vec<u8> = text.iter().copied().take(MAX_VERSION).take_while(is_part).collect();
    let starts = part.first().is_some_and(u8::is_ascii_digit);
    String::from_utf8(part).ok().filter(|_| starts)
}

/// The version that stands behind the first `mark` which a version follows: digits and dots, a letter and more where
/// they follow at once.
pub fn behind(bytes: &[u8], mark: &[u8]) -> Option<String> {
    memchr::memmem::find_iter(bytes, mark)
        .take(MAX_MARKS)
        .find_map(|at| leading(bytes.get(at.checked_add(mark.len())?..)?))
        .map(|version| version.trim_end_matches(['.', '-', '+', '_']).to_owned())
}

/// The version of the library or the executable by its file's name, where that kind of runtime puts it there.
pub fn in_library_name(kind: RuntimeKind, path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let rest = match kind {
        RuntimeKind::Python => return in_python_name(path),
        RuntimeKind::Ruby => name.strip_prefix("libruby")?.trim_start_matches('-'),
        RuntimeKind::Php => name.strip_prefix("libphp")?,
        RuntimeKind::Perl => name.strip_prefix("libperl.so.")?,
        RuntimeKind::Lua => name.strip_prefix("liblua")?,
        _ => return None,
    };
    number(rest)
}

/// `3.11` of `python3.11`, `8.2` of `php8.2`, `13.1.5` of `…/erts-13.1.5/bin/beam.smp`.
pub fn in_executable_name(kind: RuntimeKind, path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    match kind {
        RuntimeKind::Python => in_python_name(path),
        RuntimeKind::Ruby => number(name.strip_prefix("ruby")?),
        RuntimeKind::Php => number(name.strip_prefix("php-fpm").or_else(|| name.strip_prefix("php"))?),
        RuntimeKind::Perl => number(name.strip_prefix("perl")?),
        RuntimeKind::Lua => number(name.strip_prefix("lua")?),
        RuntimeKind::Erlang => number(path.parent()?.parent()?.file_name()?.to_str()?.strip_prefix("erts-")?),
        _ => None,
    }
}

/// `5.36` of `5.36.so.1`: at least two numbers with a dot between.
fn number(text: &str) -> Option<String> {
    let part: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let part = part.trim_end_matches('.');
    let is_number = |part: &str| !part.is_empty() && part.len() < 6;
    (part.contains('.') && part.len() < MAX_VERSION && part.split('.').all(is_number)).then(|| part.to_owned())
}

/// `5.36.0` of `/usr/local/share/perl/5.36.0`, one of the folders that the interpreter was built to look in.
pub fn in_perl(bytes: &[u8]) -> Option<String> {
    memchr::memmem::find_iter(bytes, b"/perl").take(MAX_MARKS).find_map(|at| {
        let rest = bytes.get(at.checked_add(b"/perl".len())?..)?;
        let rest = rest.strip_prefix(b"5").unwrap_or(rest).strip_prefix(b"/")?;
        let found = leading(rest)?;
        (found.split('.').count() == 3 && found.starts_with("5.")).then_some(found)
    })
}

/// `17.0.15` of `OpenJDK 64-Bit Server VM (17.0.15+6-Debian-1) for linux-amd64 JRE (17.0.15+6-Debian-1), built on …`,
/// and `1.8.0_402` of the same of Java 8.
// Source: OpenJDK jdk-17 src/hotspot/share/runtime/vm_version.cpp, internal_vm_info_string.
pub fn in_hotspot(bytes: &[u8]) -> Option<String> {
    let found = behind(bytes, b" JRE (")?;
    let end = found.find(['+', '-']).unwrap_or(found.len());
    found.get(..end).filter(|version| !version.is_empty()).map(str::to_owned)
}

/// `9.0.22` of `…/shared/Microsoft.NETCore.App/9.0.22/libcoreclr.so`.
pub fn in_framework_path(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    let framework = folder.parent()?.file_name()?.to_str()?;
    let version = folder.file_name()?.to_str()?;
    if framework != "Microsoft.NETCore.App" {
        return None;
    }
    leading(version.as_bytes()).filter(|found| found.len() == version.len())
}

/// `3.11` of `libpython3.11.so.1.0` or `python3.11`.
pub fn in_python_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let rest = name.strip_prefix("lib").unwrap_or(name).strip_prefix("python")?;
    let (major, rest) = rest.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let is_number = |text: &str| !text.is_empty() && text.len() < 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(&minor)).then(|| format!("{major}.{minor}"))
}

/// `JAVA_VERSION="17.0.15"` of a JDK's file `release`.
pub fn in_java_release(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    leading(line.trim().trim_matches('"').as_bytes())
}

/// `10.0.14` of `@(#)Version 10.0.1426.52326 @Commit: …`: the third number is the patch times 100 plus the build's
/// year.
// Source: measured, 8.0.33 is 8.0.3326.52219, 9.0.22 is 9.0.2226.52218, 10.0.14 is 10.0.1426.52326.
pub fn in_coreclr(bytes: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"@(#)Version ";
    let at = memchr::memmem::find(bytes, MARK)?;
    let version = leading(bytes.get(at.checked_add(MARK.len())?..)?)?;
    let mut parts = version.split('.');
    let (major, minor, build) = (parts.next()?, parts.next()?, parts.next()?.parse::<u32>().ok()?);
    Some(format!("{major}.{minor}.{}", build.checked_div(100)?))
}

/// `9.0.22` of `9.0.22+<40 hexadecimal digits>`, the informational version that a program compiled ahead of time
/// carries.
pub fn in_nativeaot(bytes: &[u8]) -> Option<String> {
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

/// `20.20.2` of the address that Node's own release metadata holds, `…/node-v20.20.2-headers.tar.gz`, or of
/// `node.js/v20.20.2`.
pub fn in_node(bytes: &[u8]) -> Option<String> {
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

/// `3.11.2` of PY_VERSION_HEX: major, minor, micro, one byte each, then four bits of level (0xa alpha, 0xb beta, 0xc
/// candidate, 0xf final) and four of serial.
// Source: CPython Include/patchlevel.h; exported as the symbol Py_Version since 3.11.
pub fn of_python_hex(hex: u64) -> Option<String> {
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
    fn versions_in_texts_of_interpreters() {
        let hotspot = b"OpenJDK 64-Bit Server VM (17.0.15+6-Debian-1deb12u1) for linux-amd64 JRE (17.0.15+6-Debian-1deb12u1), built";
        assert_eq!(in_hotspot(hotspot), some("17.0.15"));
        assert_eq!(
            in_hotspot(b"VM (25.402-b06) for linux-amd64 JRE (1.8.0_402-8u402-ga-2-b06), built"),
            some("1.8.0_402")
        );
        assert_eq!(in_hotspot(b"VM (17"), None);
        assert_eq!(behind(b"\0X-Powered-By: PHP/8.2.29\0", b"X-Powered-By: PHP/"), some("8.2.29"));
        assert_eq!(behind(b"PHP/%s PHP/8.2.29.\0", b"PHP/"), some("8.2.29"));
        assert_eq!(behind(b"LuaJIT 2.1.0-beta3 -- Copyright", b"LuaJIT "), some("2.1.0-beta3"));
        assert_eq!(in_perl(b"/usr/share/perl5\0/usr/local/share/perl/5.36.0\0"), some("5.36.0"));
        assert_eq!(in_perl(b"/usr/share/perl/5.36\0/perlx"), None);
    }

    #[test]
    fn versions_in_names_of_files() {
        let library = |kind, name: &str| in_library_name(kind, Path::new(name));
        assert_eq!(library(RuntimeKind::Ruby, "/usr/lib/libruby-3.1.so.3.1.2"), some("3.1"));
        assert_eq!(library(RuntimeKind::Perl, "/usr/lib/libperl.so.5.36"), some("5.36"));
        assert_eq!(library(RuntimeKind::Lua, "/usr/lib/liblua5.4.so.0"), some("5.4"));
        // The file's number is the language's, not LuaJIT's own.
        assert_eq!(library(RuntimeKind::Luajit, "/usr/lib/libluajit-5.1.so.2"), None);
        assert_eq!(library(RuntimeKind::Jvm, "/usr/lib/libjvm.so"), None);
        let executable = |kind, name: &str| in_executable_name(kind, Path::new(name));
        assert_eq!(executable(RuntimeKind::Erlang, "/usr/lib/erlang/erts-13.1.5/bin/beam.smp"), some("13.1.5"));
        assert_eq!(executable(RuntimeKind::Php, "/usr/bin/php8.2"), some("8.2"));
        assert_eq!(executable(RuntimeKind::Python, "/usr/bin/python3"), None);
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
