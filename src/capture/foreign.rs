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
    Foreign {
        at: 0,
        bytes: b"\x04\x22\x4d\x18",
        what: "an lz4 file",
        remedy: "decompress it (lz4 -d; coredumpctl dump does so) and open what comes out",
    },
    Foreign { at: 0, bytes: b"!<arch>\n", what: "a static library or a Debian package", remedy: UNPACK },
    Foreign { at: 0, bytes: b"\xcf\xfa\xed\xfe", what: "a Mach-O file (macOS)", remedy: "open it with lldb" },
    Foreign { at: 0, bytes: b"\xce\xfa\xed\xfe", what: "a Mach-O file (macOS)", remedy: "open it with lldb" },
    Foreign {
        at: 0,
        bytes: b"version https://git-lfs.github.com/spec/",
        what: "a Git LFS pointer, not the file itself",
        remedy: "git lfs pull fetches it",
    },
];

/// A kind of file whose first bytes alone are too few to tell it.
struct Shaped {
    is: fn(&[u8]) -> bool,
    what: &'static str,
    remedy: &'static str,
}

const SHAPED: &[Shaped] = &[
    Shaped { is: is_bzip2, what: "a bzip2 file", remedy: "decompress it (bzip2 -dk) and open what comes out" },
    Shaped { is: is_pe, what: "a program of Windows", remedy: "open the dump that it left; this is what ran" },
];

/// Text that says more than that it is text: the words that it begins with, in lower case; blanks may stand between
/// them.
const TEXTS: &[(&[&str], &str, &str)] = &[
    (&["<!doctype", "html"], "a web page", "the download failed or wants a login: read it, and download again"),
    (&["<html"], "a web page", "the download failed or wants a login: read it, and download again"),
    (&["<?xml"], "an XML document, maybe a server's error", "read it, and download the dump again"),
    (
        &["{", "\"snapshot\"", ":", "{"],
        "a heap snapshot of V8",
        "open it in the DevTools of Chrome; for threads and locks take a core of the process",
    ),
    (
        &["{", "\"header\"", ":", "{", "\"reportversion\""],
        "a report of Node.js",
        "it is text: read it; a core of the process is read here",
    ),
];

const JSON: (&str, &str) = ("a JSON document, maybe a server's error", "read it, and download the dump again");

/// U+FEFF in UTF-8, with which a text may begin. Source: Unicode 16.0, section 23.8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What bytes are that no format begins with, and what to do; `None` for unknown ones.
fn known(bytes: &[u8]) -> Option<(usize, &'static str, &'static str)> {
    let has = |foreign: &&Foreign| bytes.get(foreign.at..).is_some_and(|rest| rest.starts_with(foreign.bytes));
    if let Some(Foreign { at, what, remedy, .. }) = FOREIGN.iter().find(has) {
        return Some((*at, what, remedy));
    }
    if let Some(Shaped { what, remedy, .. }) = SHAPED.iter().find(|shaped| (shaped.is)(bytes)) {
        return Some((0, what, remedy));
    }
    let head = bytes.get(..bytes.len().min(512)).unwrap_or_default();
    let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    if let Some((_, what, remedy)) = TEXTS.iter().find(|(words, ..)| begins(text, words)) {
        return Some((0, what, remedy));
    }
    is_json(text).then_some((0, JSON.0, JSON.1))
}

/// Source: bzip2 1.0.8 compress.c, BZ2_compressBlock: `BZh`, the size of blocks from 1 to 9, then the magic number of a
/// block, or of the end of an empty stream.
fn is_bzip2(bytes: &[u8]) -> bool {
    let [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] = bytes else { return false };
    rest.starts_with(&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59]) || rest.starts_with(&[0x17, 0x72, 0x45, 0x38, 0x50, 0x90])
}

/// Source: PE Format (Microsoft), "MS-DOS Stub" and "Signature": at 0x3c stands where the signature is.
fn is_pe(bytes: &[u8]) -> bool {
    let place = || bytes.get(0x3c..)?.first_chunk::<4>().copied().map(u32::from_le_bytes);
    let signature = || bytes.get(usize::try_from(place()?).ok()?..);
    bytes.starts_with(b"MZ") && signature().is_some_and(|rest| rest.starts_with(b"PE\0\0"))
}

/// Whether a text begins with these words, whole ones, in upper or lower case.
fn begins(mut text: &[u8], words: &[&str]) -> bool {
    for word in words {
        text = text.trim_ascii_start();
        let Some((start, rest)) = text.split_at_checked(word.len()) else { return false };
        let goes_on = |next: &u8| word.ends_with(|last: char| last.is_alphanumeric()) && next.is_ascii_alphanumeric();
        if !start.eq_ignore_ascii_case(word.as_bytes()) || rest.first().is_some_and(goes_on) {
            return false;
        }
        text = rest;
    }
    true
}

/// Whether a text begins as an object of JSON does: with a first name and its colon. Source: RFC 8259 sections 4 and 7.
fn is_json(text: &[u8]) -> bool {
    let Some(members) = text.trim_ascii_start().strip_prefix(b"{") else { return false };
    let Some(name) = members.trim_ascii_start().strip_prefix(b"\"") else { return false };
    let mut escaped = false;
    let end = name.iter().position(|byte| {
        let ends = *byte < b' ' || (*byte == b'"' && !escaped);
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let rest = end.and_then(|end| name.get(end..)).and_then(|rest| rest.strip_prefix(b"\""));
    rest.is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"))
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

    /// A DOS header that tells where the signature is: there.
    fn pe(at: u8) -> Vec<u8> {
        let mut bytes = b"MZ".to_vec();
        bytes.resize(0x3c, 0);
        bytes.extend([at, 0, 0, 0]);
        bytes.resize(at.into(), 0);
        bytes.extend(b"PE\0\0\x64\x86");
        bytes
    }

    #[test]
    fn a_few_bytes_that_look_like_another_format_are_not_taken_for_it() {
        let mut no_signature = pe(0x80);
        no_signature[0x80] = b'L';
        let mut beyond = pe(0x80);
        beyond[0x3f] = 0xff;
        for (bytes, said) in [
            (b"BZhang wrote this".as_slice(), "a text file"),
            (b"BZh0\x31\x41\x59\x26\x53\x59\0", "42 5a 68 30"),
            (b"BZh9\x31\x41\x59\x26\x53\x58\0", "42 5a 68 39"),
            (b"MZ is what it begins with", "a text file"),
            (&no_signature, "4d 5a 00 00"),
            (&beyond, "4d 5a 00 00"),
            (b"{ not JSON }", "a text file"),
            (b"{\"no colon\"}", "a text file"),
            (b"{\x01\x02\x03\"", "7b 01 02 03"),
            (b"{\"\0\": 1", "7b 22 00 22"),
            // Blanks within a word, and bytes of the mark elsewhere than in front.
            (b"< h t m l >", "a text file"),
            (b"<htmlx>", "a text file"),
            (b"<?x\xef\xbb\xbfml", "3c 3f 78 ef"),
            (b"\xbb\xef{\"a\": 1}", "bb ef 7b 22"),
        ] {
            assert!(of(bytes).contains(&format!("at 0x0: {said}")), "{}", of(bytes));
        }
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
            (&pe(0x80), "a program of Windows", "dump that it left"),
            (b"BZh91AY&SY\x12\x34", "a bzip2 file", "bzip2 -dk"),
            (b"BZh9\x17\x72\x45\x38\x50\x90\0\0\0\0", "a bzip2 file", "bzip2 -dk"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "a Git LFS pointer", "git lfs pull"),
            (b"<!DOCTYPE HTML>\n<html>", "a web page", "download again"),
            (b"  <HTML><body>404", "a web page", "download again"),
            (b"<?xml version=\"1.0\"?><Error>", "maybe a server's error", "download the dump again"),
            (b"{\"message\":\"Not Found\"}", "a JSON document", "download the dump again"),
            (b"\xef\xbb\xbf{\r\n  \"a \\\"quoted\\\" name\" : 1}", "a JSON document", "download the dump again"),
            (b"{\"header\": {\"reportVersion\": 3", "a report of Node.js", "read it"),
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
