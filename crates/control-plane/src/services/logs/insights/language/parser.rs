//! From tokens to a [`Query`], by recursive descent.

use regex::{Regex, RegexBuilder};

use super::{
    Aggregate, AggregateFunction, Column, Command, Comparison, Expression, Malformed, Order, ParsePattern,
    Query, Value,
    eval::Function,
    lexer::{Spanned, Token, tokens},
};

/// Expressions within expressions: more than anyone writes, few enough for the stack.
const DEEPEST: usize = 64;
/// Operators that join expressions in a query. `a or b or c` is as deep as it is long, and is evaluated and dropped from level to level.
const MOST_OPERATORS: usize = 500;
/// Commands in a query, columns in a command: a query is at most 10,000 characters long, this bounds what it costs.
const MOST: usize = 100;
/// Rows that a query may ask for.
const MOST_ROWS: usize = 100_000;
const REGEX_BYTES: usize = 1 << 20;

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    /// The token that `next` gave last.
    last: usize,
    depth: usize,
    operators: usize,
    /// The query's characters, for naming columns as they were written.
    text: Vec<char>,
}

pub(super) fn parse(text: &str) -> Result<Query, Malformed> {
    let characters = text.chars().collect();
    let mut parser =
        Parser { tokens: tokens(text)?, at: 0, last: 0, depth: 0, operators: 0, text: characters };
    let mut query = Query::default();
    parser.sign("|");
    loop {
        query.commands.push(parser.command()?);
        if query.commands.len() > MOST {
            return Err(parser.error(format!("more than {MOST} commands")));
        }
        if !parser.sign("|") {
            break;
        }
    }
    match parser.peek() {
        Token::End => Ok(query),
        _ => Err(parser.unexpected()),
    }
}

impl Parser {
    fn command(&mut self) -> Result<Command, Malformed> {
        let Token::Word(name) = self.peek().clone() else { return Err(self.unexpected()) };
        let name = name.to_ascii_lowercase();
        let known = ["fields", "display", "filter", "parse", "stats", "sort", "limit", "head", "dedup"];
        if !known.contains(&name.as_str()) {
            return Err(self.unexpected());
        }
        self.at += 1;
        match name.as_str() {
            "fields" => Ok(Command::Fields(self.list(Parser::column)?)),
            "display" => Ok(Command::Display(self.list(Parser::column)?)),
            "filter" => Ok(Command::Filter(self.expression()?)),
            "parse" => self.parse_command(),
            "stats" => {
                let aggregates = self.list(Parser::aggregate)?;
                let by = if self.word("by") { self.list(Parser::column)? } else { Vec::new() };
                Ok(Command::Stats { aggregates, by })
            }
            "sort" => Ok(Command::Sort(self.list(Parser::sort_key)?)),
            "dedup" => Ok(Command::Dedup(self.list(Parser::expression)?)),
            _ => match self.next() {
                Token::Number(rows) if rows.fract() == 0.0 && (1.0..=MOST_ROWS as f64).contains(&rows) => {
                    Ok(Command::Limit(rows as usize))
                }
                _ => Err(self.back_error(format!("a limit is a number from 1 to {MOST_ROWS}"))),
            },
        }
    }

    fn list<T>(&mut self, item: impl Fn(&mut Parser) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let mut items = vec![item(self)?];
        while self.sign(",") {
            items.push(item(self)?);
            if items.len() > MOST {
                return Err(self.error(format!("more than {MOST} items")));
            }
        }
        Ok(items)
    }

    fn column(&mut self) -> Result<Column, Malformed> {
        let start = self.at;
        let expression = self.expression()?;
        let name = self.alias(start)?;
        Ok(Column { expression, name })
    }

    /// `as NAME`, or the text since token `start`.
    fn alias(&mut self, start: usize) -> Result<String, Malformed> {
        if let Token::Quoted(name) = &self.tokens[start].token
            && self.at == start + 1
            && !matches!(self.peek(), Token::Word(word) if word.eq_ignore_ascii_case("as"))
        {
            return Ok(name.clone());
        }
        let written: String =
            self.text[self.tokens[start].start..self.tokens[self.at - 1].end].iter().collect();
        if self.word("as") { self.name() } else { Ok(written) }
    }

    fn name(&mut self) -> Result<String, Malformed> {
        match self.next() {
            Token::Word(name) | Token::Quoted(name) => Ok(name),
            _ => Err(self.back_error("expected a name".to_owned())),
        }
    }

    fn sort_key(&mut self) -> Result<(Expression, Order), Malformed> {
        let key = self.expression()?;
        let order = if self.word("asc") {
            Order::Ascending
        } else {
            self.word("desc");
            Order::Descending
        };
        Ok((key, order))
    }

    fn parse_command(&mut self) -> Result<Command, Malformed> {
        let from = match self.peek() {
            Token::Word(_) | Token::Quoted(_) => self.primary()?,
            _ => Expression::Field("@message".to_owned()),
        };
        let (pattern, wildcards) = match self.next() {
            Token::Text(glob) => {
                let parts: Vec<String> = glob.split('*').map(str::to_owned).collect();
                let wildcards = parts.len() - 1;
                (ParsePattern::Glob(parts), Some(wildcards))
            }
            Token::Regex(pattern) => (ParsePattern::Regex(self.regex(&pattern)?), None),
            _ => return Err(self.back_error("expected a pattern in quotes or slashes".to_owned())),
        };
        let mut names = Vec::new();
        if self.word("as") {
            names = self.list(Parser::name)?;
        }
        match &pattern {
            ParsePattern::Glob(_) if wildcards != Some(names.len()) => {
                return Err(self.error("a parse pattern needs a name for each *".to_owned()));
            }
            ParsePattern::Regex(regex) if names.is_empty() => {
                names = regex.capture_names().flatten().map(str::to_owned).collect();
            }
            _ => {}
        }
        Ok(Command::Parse { from, pattern, names })
    }

    fn aggregate(&mut self) -> Result<Aggregate, Malformed> {
        let start = self.at;
        let Token::Word(name) = self.next() else { return Err(self.back_unexpected()) };
        let function = match name.to_ascii_lowercase().as_str() {
            "count" => AggregateFunction::Count,
            "count_distinct" => AggregateFunction::CountDistinct,
            "sum" => AggregateFunction::Sum,
            "avg" => AggregateFunction::Average,
            "min" | "sortsfirst" => AggregateFunction::Minimum,
            "max" | "sortslast" => AggregateFunction::Maximum,
            "stddev" => AggregateFunction::StandardDeviation,
            "pct" | "percentile" => AggregateFunction::Percentile(0.0),
            "median" => AggregateFunction::Percentile(50.0),
            "earliest" => AggregateFunction::Earliest,
            "latest" => AggregateFunction::Latest,
            _ => return Err(self.back_error(format!("{name} is not an aggregation"))),
        };
        self.expect("(")?;
        let everything =
            function == AggregateFunction::Count && (self.sign("*") || *self.peek() == Token::Sign(")"));
        let over = if everything { None } else { Some(self.expression()?) };
        let function = match function {
            AggregateFunction::Percentile(0.0) => {
                self.expect(",")?;
                match self.next() {
                    Token::Number(percent) if (0.0..=100.0).contains(&percent) => {
                        AggregateFunction::Percentile(percent)
                    }
                    _ => return Err(self.back_error("a percentile is a number from 0 to 100".to_owned())),
                }
            }
            other => other,
        };
        self.expect(")")?;
        let name = self.alias(start)?;
        Ok(Aggregate { function, over, name })
    }

    fn expression(&mut self) -> Result<Expression, Malformed> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error("the expression is nested too deeply".to_owned()));
        }
        let mut left = self.conjunction()?;
        while self.word("or") {
            self.operator()?;
            left = Expression::Or(Box::new(left), Box::new(self.conjunction()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operator(&mut self) -> Result<(), Malformed> {
        self.operators += 1;
        if self.operators > MOST_OPERATORS {
            return Err(self.error(format!("more than {MOST_OPERATORS} operators")));
        }
        Ok(())
    }

    fn conjunction(&mut self) -> Result<Expression, Malformed> {
        let mut left = self.negation()?;
        while self.word("and") {
            self.operator()?;
            left = Expression::And(Box::new(left), Box::new(self.negation()?));
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Expression, Malformed> {
        let mut negative = false;
        while self.word("not") || self.sign("!") {
            negative = !negative;
        }
        let inner = self.comparison()?;
        Ok(if negative { Expression::Not(Box::new(inner)) } else { inner })
    }

    fn comparison(&mut self) -> Result<Expression, Malformed> {
        let left = self.sum()?;
        let table = [
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        if let Some((_, comparison)) = table.into_iter().find(|(sign, _)| self.sign(sign)) {
            return Ok(Expression::Compare(Box::new(left), comparison, Box::new(self.sum()?)));
        }
        let negative = self.word("not");
        let found = if self.word("like") || (!negative && self.sign("=~")) {
            match self.next() {
                Token::Regex(pattern) => Expression::Matches(Box::new(left), self.regex(&pattern)?),
                Token::Text(text) => {
                    Expression::Contains(Box::new(left), Box::new(Expression::Constant(Value::Text(text))))
                }
                _ => return Err(self.back_error("expected a text or a regular expression".to_owned())),
            }
        } else if self.word("in") {
            self.expect("[")?;
            let items = self.list(Parser::sum)?;
            self.expect("]")?;
            Expression::In(Box::new(left), items)
        } else if negative {
            return Err(self.unexpected());
        } else {
            return Ok(left);
        };
        Ok(if negative { Expression::Not(Box::new(found)) } else { found })
    }

    fn sum(&mut self) -> Result<Expression, Malformed> {
        self.chain(&['+', '-'], |parser| {
            parser.chain(&['*', '/', '%'], |parser| parser.chain(&['^'], Parser::unary))
        })
    }

    fn chain(
        &mut self,
        operators: &[char],
        next: impl Fn(&mut Parser) -> Result<Expression, Malformed>,
    ) -> Result<Expression, Malformed> {
        let mut left = next(self)?;
        while let Token::Sign(sign) = *self.peek()
            && let Some(operator) = operators.iter().find(|operator| sign.chars().eq([**operator]))
        {
            self.at += 1;
            self.operator()?;
            left = Expression::Arithmetic(Box::new(left), *operator, Box::new(next(self)?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression, Malformed> {
        if !self.sign("-") {
            return self.primary();
        }
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error("the expression is nested too deeply".to_owned()));
        }
        let inner = self.unary()?;
        self.depth -= 1;
        Ok(Expression::Negative(Box::new(inner)))
    }

    fn primary(&mut self) -> Result<Expression, Malformed> {
        match self.next() {
            Token::Number(number) => Ok(Expression::Constant(Value::Number(number))),
            Token::Duration(milliseconds) => Ok(Expression::Constant(Value::Number(milliseconds as f64))),
            Token::Text(text) => Ok(Expression::Constant(Value::Text(text))),
            Token::Quoted(field) => Ok(Expression::Field(field)),
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "true" => Ok(Expression::Constant(Value::Truth(true))),
                "false" => Ok(Expression::Constant(Value::Truth(false))),
                _ if self.sign("(") => self.call(&word),
                _ => Ok(Expression::Field(word)),
            },
            _ => Err(self.back_unexpected()),
        }
    }

    /// The opening parenthesis has been read.
    fn call(&mut self, name: &str) -> Result<Expression, Malformed> {
        let arguments = match self.peek() {
            Token::Sign(")") => Vec::new(),
            _ => self.list(Parser::expression)?,
        };
        self.expect(")")?;
        let function =
            Function::find(name).ok_or_else(|| self.error(format!("there is no function {name}")))?;
        if !function.takes(arguments.len()) {
            return Err(self.error(format!("{name} does not take {} arguments", arguments.len())));
        }
        // `bin(5m)` is short for the time of the event.
        let arguments = match (function, arguments.len()) {
            (Function::Bin, 1) => [vec![Expression::Field("@timestamp".to_owned())], arguments].concat(),
            _ => arguments,
        };
        Ok(Expression::Call(function, arguments))
    }

    fn regex(&self, pattern: &str) -> Result<Regex, Malformed> {
        // `(?<name>…)` and `(?P<name>…)` are both understood.
        RegexBuilder::new(pattern)
            .size_limit(REGEX_BYTES)
            .dfa_size_limit(REGEX_BYTES)
            .build()
            .map_err(|_| self.back_error("invalid regular expression".to_owned()))
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at].token
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.last = self.at;
        // The end is never passed.
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(next) if *next == sign);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(next) if next.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), Malformed> {
        if self.sign(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn error(&self, message: String) -> Malformed {
        let Spanned { start, end, .. } = self.tokens[self.at];
        Malformed { message, start, end }
    }

    fn back_error(&self, message: String) -> Malformed {
        let Spanned { start, end, .. } = self.tokens[self.last];
        Malformed { message, start, end }
    }

    fn unexpected(&self) -> Malformed {
        let Spanned { start, end, .. } = self.tokens[self.at];
        let found: String = self.text[start..end].iter().collect();
        match self.peek() {
            Token::End => self.error("unexpected end of the query".to_owned()),
            _ => self.error(format!("unexpected symbol found {found}")),
        }
    }

    fn back_unexpected(&self) -> Malformed {
        let Spanned { token, start, end } = &self.tokens[self.last];
        if *token == Token::End {
            return self.back_error("unexpected end of the query".to_owned());
        }
        let found: String = self.text[*start..*end].iter().collect();
        self.back_error(format!("unexpected symbol found {found}"))
    }
}
