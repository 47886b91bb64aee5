//! From words to an expression: `or` binds least, then `and`, then `not`; parentheses group compound expressions.

use super::{
    Condition, Expression, LONGEST_EXPRESSION, Order, QueryError, Subject, Test,
    lexer::{Token, tokens},
    values::{self, Pattern},
};

/// Parentheses and negations inside each other: what no one writes, and what keeps recursion small.
const DEEPEST: usize = 64;

pub(super) fn parse(text: &str) -> Result<Expression, QueryError> {
    if text.len() > LONGEST_EXPRESSION {
        return Err(QueryError::TooLong);
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let expression = parser.any()?;
    match parser.tokens.get(parser.at) {
        None => Ok(expression),
        Some(token) => Err(unexpected(token)),
    }
}

fn unexpected(token: &Token) -> QueryError {
    QueryError::Unexpected(match token {
        Token::Word(word) | Token::Quoted(word) => word.clone(),
        Token::Sign(sign) => (*sign).to_owned(),
    })
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Expression, QueryError> {
        let mut parts = vec![self.all()?];
        while self.takes(&["||"], &["or"]) {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::Any(parts) })
    }

    fn all(&mut self) -> Result<Expression, QueryError> {
        let mut parts = vec![self.negation()?];
        while self.takes(&["&&"], &["and"]) {
            parts.push(self.negation()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expression::All(parts) })
    }

    fn negation(&mut self) -> Result<Expression, QueryError> {
        if !self.takes(&["!"], &["not"]) {
            return self.primary();
        }
        self.deeper()?;
        let inner = self.negation()?;
        self.depth -= 1;
        Ok(Expression::Not(Box::new(inner)))
    }

    fn deeper(&mut self) -> Result<(), QueryError> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(QueryError::TooDeep) } else { Ok(()) }
    }

    fn primary(&mut self) -> Result<Expression, QueryError> {
        if self.takes(&["("], &[]) {
            self.deeper()?;
            let inner = self.any()?;
            self.depth -= 1;
            if !self.takes(&[")"], &[]) {
                return Err(self.wrong_token());
            }
            return Ok(inner);
        }
        self.test().map(Expression::Test)
    }

    fn test(&mut self) -> Result<Test, QueryError> {
        let Some(Token::Word(word)) = self.tokens.get(self.at) else { return Err(self.wrong_token()) };
        let subject = Subject::parse(word)?;
        let name = word.clone();
        self.at += 1;
        let (operator, negated) = self.operator()?;
        if !allowed(&subject, operator) {
            return Err(QueryError::OperatorNotAllowed {
                subject: name,
                operator: operator.name(negated).to_owned(),
            });
        }
        let condition = match operator {
            Operator::Exists => Condition::Exists,
            Operator::In => Condition::In(self.list()?),
            Operator::Equals => Condition::Equals(self.argument(&subject)?),
            Operator::Matches => Condition::Matches(Pattern::new(&self.value()?)?),
            Operator::Compares(order) => Condition::Compares(order, self.argument(&subject)?),
        };
        Ok(Test { subject, negated, condition })
    }

    /// The operator, and whether it says the opposite of what is returned.
    fn operator(&mut self) -> Result<(Operator, bool), QueryError> {
        let negated = self.takes(&["!"], &[]);
        let found = match self.tokens.get(self.at) {
            Some(Token::Sign(sign)) if !negated => match *sign {
                "==" => (Operator::Equals, false),
                "!=" => (Operator::Equals, true),
                "=~" => (Operator::Matches, false),
                "!~" => (Operator::Matches, true),
                ">" => (Operator::Compares(Order::Greater), false),
                ">=" => (Operator::Compares(Order::GreaterOrEqual), false),
                "<" => (Operator::Compares(Order::Less), false),
                "<=" => (Operator::Compares(Order::LessOrEqual), false),
                _ => return Err(self.wrong_token()),
            },
            Some(Token::Word(word)) => match (word.as_str(), negated) {
                ("exists", _) => (Operator::Exists, negated),
                ("in", _) => (Operator::In, negated),
                ("not_exists", false) => (Operator::Exists, true),
                ("not_in", false) => (Operator::In, true),
                ("equals", false) => (Operator::Equals, false),
                ("not_equals", false) => (Operator::Equals, true),
                ("matches", false) => (Operator::Matches, false),
                ("not_matches", false) => (Operator::Matches, true),
                ("greater_than", false) => (Operator::Compares(Order::Greater), false),
                ("greater_than_equal", false) => (Operator::Compares(Order::GreaterOrEqual), false),
                ("less_than", false) => (Operator::Compares(Order::Less), false),
                ("less_than_equal", false) => (Operator::Compares(Order::LessOrEqual), false),
                _ => return Err(self.wrong_token()),
            },
            _ => return Err(self.wrong_token()),
        };
        self.at += 1;
        Ok(found)
    }

    /// A value that the subject can be compared with.
    fn argument(&mut self, subject: &Subject) -> Result<String, QueryError> {
        let value = self.value()?;
        let wrong = match subject {
            Subject::RunningTasksCount => value.parse::<u32>().is_err(),
            Subject::RegisteredAt => values::date(&value).is_none(),
            Subject::AgentVersion => values::version(&value).is_none(),
            _ => false,
        };
        if wrong { Err(QueryError::WrongValue(value)) } else { Ok(value) }
    }

    fn value(&mut self) -> Result<String, QueryError> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word) | Token::Quoted(word)) => {
                let word = word.clone();
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.wrong_token()),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, QueryError> {
        if !self.takes(&["["], &[]) {
            return Err(self.wrong_token());
        }
        let mut values = vec![self.value()?];
        while self.takes(&[","], &[]) {
            values.push(self.value()?);
        }
        if self.takes(&["]"], &[]) { Ok(values) } else { Err(self.wrong_token()) }
    }

    /// Goes on behind the next token if it is one of these.
    fn takes(&mut self, signs: &[&str], words: &[&str]) -> bool {
        let found = match self.tokens.get(self.at) {
            Some(Token::Sign(sign)) => signs.contains(sign),
            Some(Token::Word(word)) => words.iter().any(|known| known.eq_ignore_ascii_case(word)),
            _ => false,
        };
        self.at += usize::from(found);
        found
    }

    fn wrong_token(&self) -> QueryError {
        self.tokens.get(self.at).map_or(QueryError::Incomplete, unexpected)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equals,
    Compares(Order),
    Exists,
    In,
    Matches,
}

impl Operator {
    fn name(self, negated: bool) -> &'static str {
        match (self, negated) {
            (Operator::Equals, false) => "==",
            (Operator::Equals, true) => "!=",
            (Operator::Exists, false) => "exists",
            (Operator::Exists, true) => "!exists",
            (Operator::In, false) => "in",
            (Operator::In, true) => "!in",
            (Operator::Matches, false) => "=~",
            (Operator::Matches, true) => "!~",
            (Operator::Compares(Order::Greater), _) => ">",
            (Operator::Compares(Order::GreaterOrEqual), _) => ">=",
            (Operator::Compares(Order::Less), _) => "<",
            (Operator::Compares(Order::LessOrEqual), _) => "<=",
        }
    }
}

/// Which operators a subject takes (developer guide, cluster query language). Of attributes and groups the guide lists none,
/// so they take all that have a meaning.
fn allowed(subject: &Subject, operator: Operator) -> bool {
    use Operator::{Compares, Equals, Exists, In, Matches};
    match subject {
        Subject::Attribute(_) => true,
        Subject::TaskGroup => !matches!(operator, Compares(_)),
        Subject::AgentConnected | Subject::Ec2InstanceId => matches!(operator, Equals | In | Matches),
        Subject::AgentVersion | Subject::RegisteredAt | Subject::RunningTasksCount => {
            !matches!(operator, Exists | In | Matches)
        }
    }
}
