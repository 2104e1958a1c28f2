//! The shape of a selection, before anyone knows what it selects from.
//!
//! ```text
//! list   = both { "," both }
//! both   = factor { "&" factor }
//! factor = "!" factor | "(" list ")" | NAME "=" values | item
//! values = value { "," value }          a comma before NAME "=" ends the values
//! value  = "!" value | "(" list ")" | item
//! item   = "all" | "latest" [":" N] | KEY | [KEY] "..." [KEY]
//! ```

use std::ops::Range;

use super::lexer::{Token, TokenKind, Word, tokens};
use super::{Located, SELECTION_DEPTH_MAX, SelectProblem};

/// Any of these, less the negated ones.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct List {
    pub(super) terms: Vec<Term>,
}

/// One member of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    pub(super) negated: bool,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// All of these.
    Both(Vec<Term>),
    Group(List),
    Dimension {
        name: String,
        span: Range<usize>,
        values: List,
    },
    Item {
        span: Range<usize>,
        item: Item,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    All,
    Latest(u32),
    Key(Word),
    Range { start: Option<String>, end: Option<String> },
}

/// Reads a whole selection.
pub(super) fn read(text: &str) -> Result<List, Located> {
    let mut reader = Reader { tokens: tokens(text)?, at: 0, depth: 0 };
    if reader.kind() == &TokenKind::End {
        return Err((0..text.len(), SelectProblem::Empty));
    }
    let list = reader.list()?;
    match reader.kind() {
        TokenKind::End => Ok(list),
        _ => Err(reader.expected("a comma, & or the end")),
    }
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Reader {
    /// The token `ahead` of the current one; the last token is `End` and is never passed.
    fn peek(&self, ahead: usize) -> &Token {
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)]
    }

    fn kind(&self) -> &TokenKind {
        &self.peek(0).kind
    }

    fn accept(&mut self, kind: &TokenKind) -> bool {
        let accepted = self.kind() == kind;
        self.at += usize::from(accepted);
        accepted
    }

    fn expected(&self, expected: &'static str) -> Located {
        let token = self.peek(0);
        (token.span.clone(), SelectProblem::Expected { expected, found: token.kind.name() })
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Located>) -> Result<T, Located> {
        if self.depth == SELECTION_DEPTH_MAX {
            return Err((self.peek(0).span.clone(), SelectProblem::TooDeep));
        }
        self.depth += 1;
        let outcome = read(self);
        self.depth -= 1;
        outcome
    }

    fn list(&mut self) -> Result<List, Located> {
        let mut terms = vec![self.both()?];
        while self.accept(&TokenKind::Comma) {
            terms.push(self.both()?);
        }
        Ok(List { terms })
    }

    fn both(&mut self) -> Result<Term, Located> {
        let first = self.factor()?;
        if self.kind() != &TokenKind::And {
            return Ok(first);
        }
        let mut terms = vec![first];
        while self.accept(&TokenKind::And) {
            terms.push(self.factor()?);
        }
        Ok(Term { negated: false, what: What::Both(terms) })
    }

    fn factor(&mut self) -> Result<Term, Located> {
        if let (TokenKind::Word(word), TokenKind::Equals) = (self.kind(), &self.peek(1).kind) {
            let (name, span) = (word.text(), self.peek(0).span.clone());
            self.at += 2;
            let values = self.values()?;
            return Ok(Term { negated: false, what: What::Dimension { name, span, values } });
        }
        self.negation_or(Self::factor)
    }

    fn values(&mut self) -> Result<List, Located> {
        let mut terms = vec![self.value()?];
        while self.kind() == &TokenKind::Comma && !self.names_dimension_next() {
            self.at += 1;
            terms.push(self.value()?);
        }
        Ok(List { terms })
    }

    fn value(&mut self) -> Result<Term, Located> {
        self.negation_or(Self::value)
    }

    /// Whether `name=` follows the current token, perhaps negated.
    fn names_dimension_next(&self) -> bool {
        let mut ahead = 1;
        while self.peek(ahead).kind == TokenKind::Not {
            ahead += 1;
        }
        matches!(self.peek(ahead).kind, TokenKind::Word(_)) && self.peek(ahead + 1).kind == TokenKind::Equals
    }

    fn negation_or(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<Term, Located>,
    ) -> Result<Term, Located> {
        if self.accept(&TokenKind::Not) {
            let term = self.deeper(inner)?;
            return Ok(Term { negated: !term.negated, what: term.what });
        }
        let open = self.peek(0).span.clone();
        if self.accept(&TokenKind::Open) {
            let list = self.deeper(Self::list)?;
            if !self.accept(&TokenKind::Close) {
                return Err((open, SelectProblem::OpenBracket));
            }
            return Ok(Term { negated: false, what: What::Group(list) });
        }
        self.item()
    }

    fn item(&mut self) -> Result<Term, Located> {
        let begin = self.peek(0).span.clone();
        let start = self.word();
        if !self.accept(&TokenKind::Ellipsis) {
            let Some(word) = start else { return Err(self.expected("a partition key")) };
            let item = keyword(&word, &begin)?.unwrap_or(Item::Key(word));
            return Ok(Term { negated: false, what: What::Item { span: begin, item } });
        }
        let end = self.word();
        let close = self.tokens[self.at - 1].span.end;
        let span = begin.start..close;
        let bound = |word: Option<Word>| match word.as_ref().map(Word::key) {
            Some(None) => Err((span.clone(), SelectProblem::WildcardInRange)),
            Some(Some(key)) => Ok(Some(key.to_owned())),
            None => Ok(None),
        };
        let item = Item::Range { start: bound(start)?, end: bound(end)? };
        Ok(Term { negated: false, what: What::Item { span: span.clone(), item } })
    }

    fn word(&mut self) -> Option<Word> {
        let TokenKind::Word(word) = self.kind() else { return None };
        let word = word.clone();
        self.at += 1;
        Some(word)
    }
}

fn keyword(word: &Word, span: &Range<usize>) -> Result<Option<Item>, Located> {
    match word.key() {
        Some(_) if word.quoted => Ok(None),
        Some("all") => Ok(Some(Item::All)),
        Some("latest") => Ok(Some(Item::Latest(1))),
        Some(text) => match text.strip_prefix("latest:") {
            None => Ok(None),
            Some(count) => match count.trim().parse() {
                Ok(count) if count > 0 => Ok(Some(Item::Latest(count))),
                _ => Err((span.clone(), SelectProblem::LatestCount)),
            },
        },
        None => Ok(None),
    }
}
