//! From the text of an expression to its tree.

use super::{Invalid, operators::Operator};

/// How deep an expression may be nested: its evaluation recurses.
const DEEPEST: usize = 64;

/// An expression that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    pub(super) root: Node,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Number(f64),
    Text(String),
    /// Of a metric or another expression.
    Name(String),
    List(Vec<Node>),
    Negative(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Call(String, Vec<Node>),
}

impl Expression {
    /// The ids that it names, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.root.gather(&mut found);
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Node {
    fn children(&self) -> Vec<&Node> {
        match self {
            Node::Number(_) | Node::Text(_) | Node::Name(_) => Vec::new(),
            Node::List(nodes) | Node::Call(_, nodes) => nodes.iter().collect(),
            Node::Negative(inner) => vec![inner],
            Node::Binary(_, left, right) => vec![left, right],
        }
    }

    fn gather<'a>(&'a self, found: &mut Vec<&'a str>) {
        if let Node::Name(name) = self
            && !super::functions::is_word(name)
        {
            found.push(name);
        }
        self.children().into_iter().for_each(|child| child.gather(found));
    }
}

impl std::str::FromStr for Expression {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Expression, Invalid> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0 };
        let root = parser.level(0, 0)?;
        match parser.tokens.get(parser.at) {
            None => Ok(Expression { root }),
            Some(token) => Err(token.unexpected()),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Word(String),
    Sign(&'static str),
}

impl Token {
    fn unexpected(&self) -> Invalid {
        Invalid::Unexpected(match self {
            Token::Number(number) => number.to_string(),
            Token::Text(text) | Token::Word(text) => text.clone(),
            Token::Sign(sign) => (*sign).to_owned(),
        })
    }
}

/// The longer ones first.
const SIGNS: &[&str] =
    &["==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "^", "(", ")", "[", "]", ","];

fn tokens(text: &str) -> Result<Vec<Token>, Invalid> {
    let (mut tokens, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let length = if first.is_ascii_digit() || first == '.' {
            let length = number_length(rest);
            let number =
                rest[..length].parse().map_err(|_| Invalid::Unexpected(rest[..length].to_owned()))?;
            tokens.push(Token::Number(number));
            length
        } else if first.is_ascii_alphabetic() {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..length].to_owned()));
            length
        } else if first == '"' || first == '\'' {
            let inner = rest[1..].find(first).ok_or(Invalid::End)?;
            tokens.push(Token::Text(rest[1..=inner].to_owned()));
            inner + 2
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| Invalid::Unexpected(first.to_string()))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// `12`, `.5`, `1e-3`.
fn number_length(text: &str) -> usize {
    let mut before = ' ';
    let end = text.char_indices().find(|(_, letter)| {
        let sign_of_exponent = (*letter == '-' || *letter == '+') && (before == 'e' || before == 'E');
        let part =
            letter.is_ascii_digit() || *letter == '.' || *letter == 'e' || *letter == 'E' || sign_of_exponent;
        before = *letter;
        !part
    });
    end.map_or(text.len(), |(at, _)| at)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn takes(&mut self, sign: &str) -> bool {
        let is = matches!(self.tokens.get(self.at), Some(Token::Sign(there)) if *there == sign);
        self.at += usize::from(is);
        is
    }

    fn next(&mut self) -> Result<Token, Invalid> {
        let token = self.tokens.get(self.at).cloned().ok_or(Invalid::End)?;
        self.at += 1;
        Ok(token)
    }

    /// The operator that comes next, if it binds as tightly as `level`.
    fn operator(&mut self, level: usize) -> Option<Operator> {
        let found = match self.tokens.get(self.at)? {
            Token::Sign(sign) => Operator::of(sign)?,
            Token::Word(word) => Operator::of(word)?,
            Token::Number(_) | Token::Text(_) => return None,
        };
        (found.level() == level).then(|| {
            self.at += 1;
            found
        })
    }

    fn level(&mut self, level: usize, depth: usize) -> Result<Node, Invalid> {
        if depth > DEEPEST {
            return Err(Invalid::Deep);
        }
        if level > Operator::HIGHEST {
            return self.one(depth);
        }
        let mut left = self.level(level + 1, depth)?;
        while let Some(operator) = self.operator(level) {
            let right = self.level(level + 1, depth)?;
            left = Node::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn one(&mut self, depth: usize) -> Result<Node, Invalid> {
        if depth > DEEPEST {
            return Err(Invalid::Deep);
        }
        match self.next()? {
            Token::Number(number) => Ok(Node::Number(number)),
            Token::Text(text) => Ok(Node::Text(text)),
            Token::Sign("-") => Ok(Node::Negative(Box::new(self.one(depth + 1)?))),
            Token::Sign("(") => {
                let node = self.level(0, depth + 1)?;
                self.close(")")?;
                Ok(node)
            }
            Token::Sign("[") => Ok(Node::List(self.arguments("]", depth)?)),
            Token::Word(word) => match self.takes("(") {
                true => Ok(Node::Call(word, self.arguments(")", depth)?)),
                false => Ok(Node::Name(word)),
            },
            other => Err(other.unexpected()),
        }
    }

    fn arguments(&mut self, end: &'static str, depth: usize) -> Result<Vec<Node>, Invalid> {
        let mut nodes = Vec::new();
        if self.takes(end) {
            return Ok(nodes);
        }
        loop {
            nodes.push(self.level(0, depth + 1)?);
            if !self.takes(",") {
                self.close(end)?;
                return Ok(nodes);
            }
        }
    }

    fn close(&mut self, end: &'static str) -> Result<(), Invalid> {
        match self.next()? {
            Token::Sign(sign) if sign == end => Ok(()),
            other => Err(other.unexpected()),
        }
    }
}
