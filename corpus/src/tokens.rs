//! Splits a line into words, quoted texts and JSON values.

use crate::parse::ParseError;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Word(String),
    Text(String),
    Json(String),
    Comma,
}

impl Token {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Word(text) | Self::Text(text) | Self::Json(text) => text,
            Self::Comma => ",",
        }
    }
}

/// The tokens of a line, read from left to right.
pub(crate) struct Tokens {
    pub(crate) line: usize,
    tokens: Vec<Token>,
    next: usize,
}

impl Tokens {
    pub(crate) fn split(line: usize, text: &str) -> Result<Self, ParseError> {
        let mut tokens = Vec::new();
        let mut rest = text.trim();
        while let Some(first) = rest.chars().next() {
            let end = match first {
                '"' => {
                    let end = rest[1..]
                        .find('"')
                        .ok_or_else(|| ParseError::new(line, "a closing quote", rest))?;
                    tokens.push(Token::Text(rest[1..=end].to_owned()));
                    end + 2
                }
                '{' | '[' => {
                    let end = json_end(rest)
                        .ok_or_else(|| ParseError::new(line, "JSON that ends on its line", rest))?;
                    tokens.push(Token::Json(rest[..end].to_owned()));
                    end
                }
                ',' => {
                    tokens.push(Token::Comma);
                    1
                }
                _ => {
                    let end = rest
                        .find(|c: char| c.is_whitespace() || c == ',')
                        .unwrap_or(rest.len());
                    tokens.push(Token::Word(rest[..end].to_owned()));
                    end
                }
            };
            rest = rest[end..].trim_start();
        }
        Ok(Self {
            line,
            tokens,
            next: 0,
        })
    }

    pub(crate) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    pub(crate) fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    /// The next token if it is this word.
    pub(crate) fn skip(&mut self, word: &str) -> bool {
        let is = self.peek() == Some(&Token::Word(word.to_owned()));
        self.next += usize::from(is);
        is
    }

    pub(crate) fn word(&mut self, expected: &str) -> Result<String, ParseError> {
        match self.take() {
            Some(Token::Word(word)) => Ok(word),
            other => Err(self.wrong(expected, other.as_ref())),
        }
    }

    /// One word, or several with commas between them.
    pub(crate) fn words(&mut self, expected: &str) -> Result<Vec<String>, ParseError> {
        let mut words = vec![self.word(expected)?];
        while self.peek() == Some(&Token::Comma) {
            self.next += 1;
            words.push(self.word(expected)?);
        }
        Ok(words)
    }

    /// One text, or several with commas between them.
    pub(crate) fn texts(&mut self, expected: &str) -> Result<Vec<String>, ParseError> {
        let mut texts = vec![self.text(expected)?];
        while self.peek() == Some(&Token::Comma) {
            self.next += 1;
            texts.push(self.text(expected)?);
        }
        Ok(texts)
    }

    pub(crate) fn text(&mut self, expected: &str) -> Result<String, ParseError> {
        match self.take() {
            Some(Token::Text(text)) => Ok(text),
            other => Err(self.wrong(expected, other.as_ref())),
        }
    }

    pub(crate) fn maybe_text(&mut self) -> Option<String> {
        match self.peek() {
            Some(Token::Text(text)) => {
                let text = text.clone();
                self.next += 1;
                Some(text)
            }
            _ => None,
        }
    }

    pub(crate) fn maybe_json(&mut self) -> Option<String> {
        match self.peek() {
            Some(Token::Json(text)) => {
                let text = text.clone();
                self.next += 1;
                Some(text)
            }
            _ => None,
        }
    }

    /// The next word if it is a symbol of a closed list.
    pub(crate) fn maybe<T: schemas::symbols::Symbol>(&mut self) -> Option<T> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let found = T::from_symbol(word);
                self.next += usize::from(found.is_some());
                found
            }
            _ => None,
        }
    }

    pub(crate) fn number<T: std::str::FromStr>(&mut self, expected: &str) -> Result<T, ParseError> {
        let word = self.word(expected)?;
        word.parse()
            .map_err(|_| ParseError::new(self.line, expected, word))
    }

    pub(crate) fn wrong(&self, expected: &str, got: Option<&Token>) -> ParseError {
        ParseError::new(
            self.line,
            expected,
            got.map_or("the end of the line", Token::as_str),
        )
    }
}

fn json_end(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}
