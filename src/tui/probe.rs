//! Questions to the terminal itself: whether it takes bytes for UTF-8, and whether its background is light.
//!
//! [`ask`] writes them, [`listen`] reads what comes back. A terminal answers in order, so the question that every terminal
//! answers comes last and ends the wait. Keys that are typed meanwhile are passed on at once.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::look::{Background, Open, Said};

/// How long answers are waited for. Nothing else waits with it: the screen is drawn meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an escape stands alone before it is the key.
const LONE_ESCAPE: Duration = Duration::from_millis(50);
/// Longest unfinished sequence that is kept, in bytes: an answer has some thirty.
const MAX_PENDING: usize = 4096;

// Two bytes, one column as UTF-8; two letters in any single-byte character set, and no control character in one.
const LETTER: &str = "é";
// Source: ECMA-48 CUP; xterm ctlseqs DSR 6 (answer: CSI row ; column R), EL 2.
const WHERE: &str = "\x1b[6n";
const WIPE: &str = "\r\x1b[2K";
// Source: xterm ctlseqs, OSC 11 with `?` (answer: OSC 11 ; rgb:RRRR/GGGG/BBBB), and primary device attributes.
const BACKGROUND: &str = "\x1b]11;?\x1b\\";
const ATTRIBUTES: &str = "\x1b[c";

/// Writes the questions, on a screen that is still empty.
pub(super) fn ask(open: Open, out: &mut impl Write) -> io::Result<()> {
    if open.is_empty() {
        return Ok(());
    }
    let mut questions = String::new();
    if open.utf8 {
        questions.push_str(&format!("\x1b[1;1H{LETTER}{WHERE}{WIPE}"));
    }
    if open.background {
        questions.push_str(BACKGROUND);
    }
    questions.push_str(ATTRIBUTES);
    out.write_all(questions.as_bytes())?;
    out.flush()
}

/// Reads the answers until the last has come or nothing comes any more; keys go to `typed`.
pub(super) fn listen(input: impl AsFd, mut typed: impl FnMut(Event)) -> Said {
    let begun = Instant::now();
    let mut reading = Reading::default();
    while !reading.done {
        let Some(left) = PATIENCE.checked_sub(begun.elapsed()) else { break };
        let wait = if reading.pending.is_empty() { left } else { left.min(LONE_ESCAPE) };
        let mut fds = [PollFd::new(&input, PollFlags::IN)];
        let timeout =
            Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(0), tv_nsec: i64::from(wait.subsec_nanos()) };
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => reading.settle(&mut typed),
            Ok(_) => {
                let mut buffer = [0; 1024];
                match rustix::io::read(&input, &mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => reading.take(buffer.get(..count).unwrap_or_default(), &mut typed),
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    reading.settle(&mut typed);
    reading.said
}

/// Bytes of the terminal, taken apart into answers and keys.
#[derive(Default)]
struct Reading {
    pending: Vec<u8>,
    said: Said,
    /// Whether the last answer has come.
    done: bool,
}

/// One thing that a terminal sent.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sent {
    Column(u16),
    Background(Option<Background>),
    Attributes,
    Typed(Option<Event>),
}

impl Reading {
    fn take(&mut self, bytes: &[u8], typed: &mut impl FnMut(Event)) {
        self.pending.extend_from_slice(bytes);
        while let Some((sent, length)) = next(&self.pending) {
            self.pending.drain(..length.min(self.pending.len()));
            match sent {
                // The letter took one column, or two.
                Sent::Column(column) => self.said.utf8 = Some(column == 2),
                Sent::Background(background) => self.said.background = background,
                Sent::Attributes => self.done = true,
                Sent::Typed(event) => event.into_iter().for_each(&mut *typed),
            }
        }
        if self.pending.len() > MAX_PENDING {
            self.pending.clear();
        }
    }

    /// Nothing more came: an escape was the key, and the letters behind it are letters.
    fn settle(&mut self, typed: &mut impl FnMut(Event)) {
        if self.pending == [0x1b] {
            self.pending.clear();
            typed(key(KeyCode::Esc));
        }
    }
}

fn key(code: KeyCode) -> Event {
    Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

/// The first thing in some bytes and how many of them it is; `None` while it is not finished.
fn next(bytes: &[u8]) -> Option<(Sent, usize)> {
    match bytes {
        [] | [0x1b] => None,
        [0x1b, b']', ..] => operating_system_command(bytes),
        [0x1b, b'[', rest @ ..] => {
            let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte))?;
            let parameters = std::str::from_utf8(rest.get(..end)?).unwrap_or_default();
            let last = *rest.get(end)?;
            if (parameters, last) == ("200", b'~') {
                return pasted(bytes);
            }
            Some((control(parameters, last), end.saturating_add(3)))
        }
        [0x1b, b'O', last, ..] => Some((Sent::Typed(cursor_key(*last).map(key)), 3)),
        [0x1b, _, ..] => Some((Sent::Typed(Some(key(KeyCode::Esc))), 1)),
        [first, ..] => {
            let length = match first {
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => 1,
            };
            let letter = std::str::from_utf8(bytes.get(..length)?).ok().and_then(|text| text.chars().next());
            Some((Sent::Typed(letter.map(typed_letter)), length))
        }
    }
}

/// A letter, or what the keyboard sends for a key without one.
fn typed_letter(letter: char) -> Event {
    match letter {
        '\r' | '\n' => key(KeyCode::Enter),
        '\t' => key(KeyCode::Tab),
        '\x7f' | '\x08' => key(KeyCode::Backspace),
        // Source: ASCII: control and a letter is the letter's code less 0x60.
        '\x01'..='\x1a' => {
            let letter = char::from_u32(u32::from(letter).saturating_add(0x60)).unwrap_or(' ');
            Event::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL))
        }
        letter => key(KeyCode::Char(letter)),
    }
}

fn control(parameters: &str, last: u8) -> Sent {
    match (last, parameters) {
        (b'R', parameters) => match parameters.rsplit_once(';').and_then(|(_, column)| column.parse().ok()) {
            Some(column) => Sent::Column(column),
            None => Sent::Typed(None),
        },
        (b'c', _) => Sent::Attributes,
        (b'M' | b'm', parameters) => Sent::Typed(pointed(parameters, last)),
        (b'~', number) => {
            let code = match number {
                "1" | "7" => Some(KeyCode::Home),
                "4" | "8" => Some(KeyCode::End),
                "5" => Some(KeyCode::PageUp),
                "6" => Some(KeyCode::PageDown),
                _ => None,
            };
            Sent::Typed(code.map(key))
        }
        (last, _) => Sent::Typed(cursor_key(last).map(key)),
    }
}

/// A press or a turn of the wheel.
// Source: xterm ctlseqs, "SGR (1006)": `< button ; column ; row`, counted from 1; M is a press, 64 and 65 are the wheel.
fn pointed(parameters: &str, last: u8) -> Option<Event> {
    let mut numbers = parameters.strip_prefix('<')?.split(';').map(|number| number.parse::<u16>().ok());
    let (button, column, row) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let kind = match (button, last) {
        (0, b'M') => MouseEventKind::Down(MouseButton::Left),
        (64, b'M') => MouseEventKind::ScrollUp,
        (65, b'M') => MouseEventKind::ScrollDown,
        _ => return None,
    };
    let (column, row) = (column.checked_sub(1)?, row.checked_sub(1)?);
    Some(Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
}

// Source: xterm ctlseqs, "PC-Style Function Keys".
fn cursor_key(last: u8) -> Option<KeyCode> {
    Some(match last {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'H' => KeyCode::Home,
        b'F' => KeyCode::End,
        b'P' => KeyCode::F(1),
        b'Z' => KeyCode::BackTab,
        _ => return None,
    })
}

/// A bracketed paste.
fn pasted(bytes: &[u8]) -> Option<(Sent, usize)> {
    const BEGIN: &[u8] = b"\x1b[200~";
    const END: &[u8] = b"\x1b[201~";
    let text = bytes.get(BEGIN.len()..)?;
    let end = text.windows(END.len()).position(|window| window == END)?;
    let pasted = String::from_utf8_lossy(text.get(..end)?).into_owned();
    Some((Sent::Typed(Some(Event::Paste(pasted))), BEGIN.len().saturating_add(end).saturating_add(END.len())))
}

/// `OSC 11 ; rgb:RRRR/GGGG/BBBB`, ended by BEL or by ST.
fn operating_system_command(bytes: &[u8]) -> Option<(Sent, usize)> {
    let end = bytes.iter().skip(2).position(|byte| matches!(byte, 0x07 | 0x1b))?.saturating_add(2);
    let length = match bytes.get(end)? {
        0x07 => end.saturating_add(1),
        // ST is two bytes.
        _ => bytes.get(end.saturating_add(1)).map(|_| end.saturating_add(2))?,
    };
    let words = std::str::from_utf8(bytes.get(2..end)?).unwrap_or_default();
    Some(match words.strip_prefix("11;") {
        Some(colour) => (Sent::Background(background(colour)), length),
        None => (Sent::Typed(None), length),
    })
}

/// Whether a colour is light: by its luma, half of white's and above.
// Source: XParseColor(3) for the digits (one to four a part); ITU-R BT.601 for the weights.
fn background(colour: &str) -> Option<Background> {
    let digits = colour.strip_prefix("rgb:").or_else(|| colour.strip_prefix("rgba:"))?;
    let part = |text: &str| -> Option<u32> {
        let most = 16u32.checked_pow(u32::try_from(text.len()).ok().filter(|length| (1..=4).contains(length))?)?;
        let value = u32::from_str_radix(text, 16).ok()?;
        value.saturating_mul(1000).checked_div(most.saturating_sub(1))
    };
    let mut parts = digits.split('/').map(part);
    let (red, green, blue) = (parts.next()??, parts.next()??, parts.next()??);
    let luma =
        red.saturating_mul(299).saturating_add(green.saturating_mul(587)).saturating_add(blue.saturating_mul(114));
    Some(if luma >= 500_000 { Background::Light } else { Background::Dark })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> (Said, Vec<Event>, bool) {
        let (mut reading, mut events) = (Reading::default(), Vec::new());
        for chunk in chunks {
            reading.take(chunk, &mut |event| events.push(event));
        }
        reading.settle(&mut |event| events.push(event));
        (reading.said, events, reading.done)
    }

    fn letters(text: &str) -> Vec<Event> {
        text.chars().map(|letter| key(KeyCode::Char(letter))).collect()
    }

    #[test]
    fn a_terminal_of_utf8_and_one_of_single_bytes_are_told_apart_by_the_cursor() {
        assert_eq!(read(&[b"\x1b[1;2R\x1b[?62;22c"]).0.utf8, Some(true));
        assert_eq!(read(&[b"\x1b[1;3R\x1b[?6c"]).0.utf8, Some(false));
        assert_eq!(read(&[b"\x1b[?6c"]), (Said::default(), Vec::new(), true));
    }

    #[test]
    fn a_background_is_read_whatever_its_digits_and_its_end() {
        let of = |bytes: &[u8]| read(&[bytes]).0.background;
        assert_eq!(of(b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\"), Some(Background::Light));
        assert_eq!(of(b"\x1b]11;rgb:fd/f6/e3\x07"), Some(Background::Light));
        assert_eq!(of(b"\x1b]11;rgba:0000/0000/0000/ffff\x07"), Some(Background::Dark));
        assert_eq!(of(b"\x1b]11;rgb:1e/1e/1e\x1b\\"), Some(Background::Dark));
        for odd in
            [&b"\x1b]11;rgb:\x07"[..], b"\x1b]11;rgb:zz/00/00\x07", b"\x1b]11;12345\x07", b"\x1b]11;rgb:00000/0/0\x07"]
        {
            assert_eq!(of(odd), None);
        }
    }

    #[test]
    fn what_is_typed_between_the_answers_stays_typed() {
        let sent = b"2j\x1b[1;2R\x1b[Bq\x1b]11;rgb:00/00/00\x07/w\r\x1b[?6c";
        let mut typed = letters("2j");
        typed.extend([key(KeyCode::Down), key(KeyCode::Char('q')), key(KeyCode::Char('/'))]);
        typed.extend([key(KeyCode::Char('w')), key(KeyCode::Enter)]);
        let said = Said { utf8: Some(true), background: Some(Background::Dark) };
        assert_eq!(read(&[sent]), (said, typed.clone(), true));
        // Cut anywhere, it is the same.
        for at in 0..sent.len() {
            let (head, tail) = sent.split_at(at);
            assert_eq!(read(&[head, tail]), (said, typed.clone(), true), "cut at {at}");
        }
    }

    #[test]
    fn letters_of_several_bytes_pastes_and_control_keys_are_whole() {
        let (_, events, _) = read(&["ö\x03\x1b[200~a\x1bb\x1b[201~".as_bytes()]);
        let interrupt = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert_eq!(events, [key(KeyCode::Char('ö')), interrupt, Event::Paste("a\x1bb".to_owned())]);
    }

    #[test]
    fn a_click_is_a_click() {
        let kind = MouseEventKind::Down(MouseButton::Left);
        let click = MouseEvent { kind, column: 4, row: 6, modifiers: KeyModifiers::NONE };
        assert_eq!(read(&[b"\x1b[<0;5;7M\x1b[<0;5;7m"]).1, [Event::Mouse(click)]);
    }

    #[test]
    fn an_escape_alone_is_the_key() {
        assert_eq!(read(&[b"\x1b"]).1, [key(KeyCode::Esc)]);
    }

    #[test]
    fn bytes_that_mean_nothing_do_no_harm() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                read(&[&[first, second, 0xff, b'[', first]]);
            }
        }
        let endless = [b"\x1b]11;".as_slice(), &[b'a'; 3 * MAX_PENDING]].concat();
        assert!(read(&[&endless]).1.is_empty());
    }
}
