//! Files that are no dump of a format that is read: named as what they are, with what to do.

/// What a file begins with that is not read here.
struct Foreign {
    /// Where the bytes stand.
    at: usize,
    bytes: &'static [u8],
    what: &'static str,
    remedy: &'static str,
}

const UNPACK: &str = "unpack it and open the core inside";
const DEBUGGER: &str = "open it with WinDbg or lldb; a Linux core of the process is read";

/// Sources: file(1)'s magic of each; Windows SDK minidumpapiset.h MINIDUMP_SIGNATURE, wdm.h DUMP_HEADER; OpenJDK heapDumper.cpp "JAVA PROFILE
/// 1.0.2"; dotnet/runtime ds-protocol and PerfView FastSerialization for gcdump; POSIX pax "ustar" at 257; RFC 8878 for zstd's neighbours.
const FOREIGN: &[Foreign] = &[
    Foreign { at: 0, bytes: b"MDMP", what: "a minidump (Windows, Breakpad, Crashpad)", remedy: DEBUGGER },
    Foreign { at: 0, bytes: b"PAGEDU64", what: "a crash dump of the Windows kernel", remedy: "open it with WinDbg" },
    Foreign { at: 0, bytes: b"PAGEDUMP", what: "a crash dump of the Windows kernel", remedy: "open it with WinDbg" },
    Foreign {
        at: 0,
        bytes: b"JAVA PROFILE 1.0",
        what: "a heap dump of a JVM (hprof)",
        remedy: "open it with Eclipse MAT or VisualVM; for threads and locks take a core of the process",
    },
    Foreign {
        at: 0,
        bytes: b"!FastSerialization.1",
        what: "a heap dump of .NET (gcdump)",
        remedy: "open it with PerfView or dotnet-gcdump report; for threads and locks take a core of the process",
    },
    Foreign { at: 0, bytes: b"Nettrace", what: "a trace of .NET (nettrace)", remedy: "open it with PerfView" },
    Foreign { at: 0, bytes: b"KDUMP   ", what: "a crash dump of the Linux kernel", remedy: "open it with crash(8)" },
    Foreign { at: 0, bytes: b"PERFILE2", what: "a recording of perf", remedy: "open it with perf report" },
    Foreign { at: 257, bytes: b"ustar", what: "a tar archive", remedy: "unpack it (tar -xf) and open the core inside" },
    Foreign { at: 0, bytes: b"PK\x03\x04", what: "a zip archive", remedy: UNPACK },
    Foreign { at: 0, bytes: b"7z\xbc\xaf\x27\x1c", what: "a 7z archive", remedy: UNPACK },
    Foreign {
        at: 0,
        bytes: b"\xfd7zXZ\0",
        what: "an xz file",
        remedy: "decompress it (xz -dk; coredumpctl dump does so) and open what comes out",
    },
    Foreign { at: 0, bytes: b"BZh", what: "a bzip2 file", remedy: "decompress it (bzip2 -dk) and open what comes out" },
    Foreign {
        at: 0,
        bytes: b"\x04\x22\x4d\x18",
        what: "an lz4 file",
        remedy: "decompress it (lz4 -d; coredumpctl dump does so) and open what comes out",
    },
    Foreign { at: 0, bytes: b"!<arch>\n", what: "a static library or a Debian package", remedy: UNPACK },
    Foreign {
        at: 0,
        bytes: b"MZ",
        what: "a program of Windows or DOS",
        remedy: "open the dump that it left; this is what ran",
    },
    Foreign { at: 0, bytes: b"\xcf\xfa\xed\xfe", what: "a Mach-O file (macOS)", remedy: "open it with lldb" },
    Foreign { at: 0, bytes: b"\xce\xfa\xed\xfe", what: "a Mach-O file (macOS)", remedy: "open it with lldb" },
    Foreign {
        at: 0,
        bytes: b"version https://git-lfs.github.com/spec/",
        what: "a Git LFS pointer, not the file itself",
        remedy: "git lfs pull fetches it",
    },
];

/// Text that says more than that it is text: its beginning, without blanks and in lower case.
const TEXTS: &[(&str, &str, &str)] = &[
    ("<!doctype html", "a web page", "the download failed or wants a login: read it, and download again"),
    ("<html", "a web page", "the download failed or wants a login: read it, and download again"),
    ("<?xml", "an XML document, maybe a server's error", "read it, and download the dump again"),
    (
        "{\"snapshot\":{",
        "a heap snapshot of V8",
        "open it in the DevTools of Chrome; for threads and locks take a core of the process",
    ),
    (
        "{\"header\":{\"reportversion\"",
        "a report of Node.js",
        "it is text: read it; a core of the process is read here",
    ),
    ("{", "a JSON document, maybe a server's error", "read it, and download the dump again"),
];

/// What bytes are that no format begins with, and what to do; `None` for unknown ones.
fn known(bytes: &[u8]) -> Option<(usize, &'static str, &'static str)> {
    let has = |foreign: &&Foreign| bytes.get(foreign.at..).is_some_and(|rest| rest.starts_with(foreign.bytes));
    if let Some(Foreign { at, what, remedy, .. }) = FOREIGN.iter().find(has) {
        return Some((*at, what, remedy));
    }
    let head = bytes.get(..bytes.len().min(512)).unwrap_or_default();
    let is_blank = |byte: &&u8| byte.is_ascii_whitespace() || [0xef, 0xbb, 0xbf].contains(*byte);
    let text: String =
        head.iter().filter(|byte| !is_blank(byte)).map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    let begins = |(start, ..): &&(&str, _, _)| text.starts_with(&start.replace(' ', ""));
    TEXTS.iter().find(begins).map(|(_, what, remedy)| (0, *what, *remedy))
}

/// What an unknown file looks like, what was expected (`names`: the formats), what to try.
pub(super) fn explain(bytes: &[u8], names: &str) -> String {
    let expected = format!("expected the start of one of: {names} (or gzip, zstd around it)");
    if bytes.is_empty() {
        return format!("the file is empty; {expected}; was the disk full, or the core size limited (ulimit -c)?");
    }
    if let Some((at, what, remedy)) = known(bytes) {
        return format!("at {at:#x}: {what}; {remedy}; {expected}");
    }
    let head = bytes.get(..bytes.len().min(64)).unwrap_or_default();
    if head.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        return format!("at 0x0: a text file; {expected}");
    }
    if head.iter().all(|byte| *byte == 0) {
        return format!("at 0x0: zeros; {expected}; the core was not written (disk full?)");
    }
    let start: Vec<String> = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let short = if bytes.len() < 64 { "; the file is very short: copy or download it again" } else { "" };
    format!("at 0x0: {}; {expected}{short}", start.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> String {
        explain(bytes, "ELF core")
    }

    #[test]
    fn foreign_files_are_named_with_what_to_do() {
        let tar = [[b'a'; 257].as_slice(), b"ustar\0"].concat();
        for (bytes, what, remedy) in [
            (b"MDMP\x93\xa7\0\0".as_slice(), "at 0x0: a minidump", "WinDbg"),
            (b"JAVA PROFILE 1.0.2\0", "a heap dump of a JVM (hprof)", "Eclipse MAT"),
            (b"{\"snapshot\":{\"meta\":{", "a heap snapshot of V8", "DevTools"),
            (b"\xef\xbb\xbf\n{ \"snapshot\" : {\"meta\":{", "a heap snapshot of V8", "DevTools"),
            (&tar, "at 0x101: a tar archive", "tar -xf"),
            (b"PK\x03\x04....", "a zip archive", "unpack it"),
            (b"\xfd7zXZ\0\0", "an xz file", "xz -dk"),
            (b"MZ\x90\0", "a program of Windows", "dump that it left"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "a Git LFS pointer", "git lfs pull"),
            (b"<!DOCTYPE HTML>\n<html>", "a web page", "download again"),
            (b"  <HTML><body>404", "a web page", "download again"),
            (b"<?xml version=\"1.0\"?><Error>", "maybe a server's error", "download the dump again"),
            (b"{\"message\":\"Not Found\"}", "a JSON document", "download the dump again"),
            (b"", "the file is empty", "ulimit -c"),
            (&[0; 100], "zeros", "disk full"),
            (b"hello", "a text file", "ELF core"),
            (&[0x80, 1, 2], "80 01 02", "very short"),
        ] {
            let said = of(bytes);
            assert!(said.contains(what) && said.contains(remedy) && said.contains("expected"), "{said}");
        }
    }

    #[test]
    fn a_cut_at_any_length_is_still_named_or_shown() {
        let whole = b"version https://git-lfs.github.com/spec/v1\n";
        for length in 0..whole.len() {
            assert!(of(&whole[..length]).contains("expected"), "{length}");
        }
    }
}
