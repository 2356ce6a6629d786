//! A command line as words.

use crate::error::Error;

/// Longest command line that is understood, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// Words are separated by blanks; `"…"` keeps blanks together.
pub(super) fn split(line: &str) -> Result<Vec<String>, Error> {
    if line.len() > MAX_LINE {
        return Err(Error::Usage(format!("the command is longer than {MAX_LINE} bytes")));
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if quoted {
        return Err(Error::Usage("a quote is not closed".to_owned()));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_split_at_blanks_outside_quotes() {
        assert_eq!(
            split("setsymbolserver -directory \"/a b\"  -x").unwrap(),
            ["setsymbolserver", "-directory", "/a b", "-x"]
        );
        assert!(split("a \"b").is_err());
        assert!(split("").unwrap().is_empty());
    }
}
