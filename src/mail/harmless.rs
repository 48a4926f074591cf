//! Names that others chose, so that they say what they say and do nothing.
//!
//! Whoever names a workspace `https://evil.example` writes a link into mail that somebody else sends. Nothing is taken
//! away from such a name but what cannot be seen; an invisible mark after each dot, colon and at sign keeps mail clients
//! from making a link of it. HTML is escaped by the templates.

use std::borrow::Cow;

/// Zero-width non-joiner: shown as nothing, and no part of a host, a scheme or an address.
const MARK: char = '\u{200c}';

/// A name in one line, without control characters and without anything that turns into a link.
pub fn line(text: &str) -> String {
    unlinked(&visible(&one_line(text)))
}

/// The words of a text with one space between them.
pub fn one_line(text: &str) -> String {
    let words = text.split(breaks).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// White space and line breaks of any kind.
fn breaks(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control()
}

/// Without marks that turn the direction of what follows, or that nobody sees.
fn visible(text: &str) -> Cow<'_, str> {
    let hidden = |letter: char| matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if text.contains(hidden) { Cow::Owned(text.replace(hidden, "")) } else { Cow::Borrowed(text) }
}

fn unlinked(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        out.push(letter);
        // `。`, `．` and `｡` separate labels of a host as a dot does.
        let joins = matches!(letter, '.' | ':' | '@' | '。' | '．' | '｡' | '·');
        if joins && letters.peek().is_some_and(|next| !next.is_whitespace()) {
            out.push(MARK);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_is_a_link() {
        assert_eq!(line("acme.evil.com"), "acme.\u{200c}evil.\u{200c}com");
        assert_eq!(line("https://evil.com/x"), "https:\u{200c}//evil.\u{200c}com/x");
        assert_eq!(line("mailto:bob@evil.com"), "mailto:\u{200c}bob@\u{200c}evil.\u{200c}com");
        assert_eq!(line("evil。com"), "evil。\u{200c}com");
    }

    #[test]
    fn what_cannot_be_seen_is_gone_and_the_rest_stays() {
        assert_eq!(line("Acme\r\nBcc: eve@evil.com"), "Acme Bcc: eve@\u{200c}evil.\u{200c}com");
        assert_eq!(line(" A\u{0}\u{1b}[31m  B\u{2028}C "), "A [31m B C");
        assert_eq!(line("moc.\u{202e}live"), "moc.\u{200c}live");
        assert_eq!(line("ev\u{200b}il.\u{2060}com"), "evil.\u{200c}com");
        for plain in ["Acme Inc. Ltd.", "Müller & Söhne", "<a href>", "東京", "Q: what?"] {
            assert_eq!(line(plain), plain);
        }
    }
}
