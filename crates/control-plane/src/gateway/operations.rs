//! Which handler answers which operation.
//!
//! A handler is an async function from a [`Call`] and the operation's input to its output; [`Operations::on`]
//! ties it to the operation's marker type, so that a handler with the wrong shapes does not compile. What has no
//! handler is answered with 501 and its name.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    pin::Pin,
};

use aws_schema::{Operation, OperationTable, ServiceTable, Shape, Value};
use bytes::Bytes;
use futures_util::{Stream, stream::BoxStream};

use super::{ApiError, Call};
use crate::services::s3::payload::Payload;

/// What a handler gives back, before it is encoded.
pub enum Answer {
    Value(Value),
    /// An event stream: pairs of the event's member name and its value. Ends with the stream.
    Events(BoxStream<'static, Result<(&'static str, Value), ApiError>>),
    /// What goes into the head, and a body that comes as it is read.
    Content {
        output: Value,
        status: Option<u16>,
        content: BoxStream<'static, io::Result<Bytes>>,
    },
}

/// What the handler of a streamed operation gives back.
pub struct Streamed<O> {
    /// Without the member that is the body.
    pub output: O,
    /// Where it is not the operation's own.
    pub status: Option<u16>,
    pub content: Option<BoxStream<'static, io::Result<Bytes>>>,
}

impl<O> Streamed<O> {
    /// An answer whose body is not a stream.
    pub fn of(output: O) -> Streamed<O> {
        Streamed { output, status: None, content: None }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Answer, ApiError>> + Send>>;
type Handler = Box<dyn Fn(Call, Value, Payload) -> Answering + Send + Sync>;

/// The operations of all services, each with its handler.
#[derive(Default)]
pub struct Operations {
    services: Vec<&'static ServiceTable>,
    handlers: BTreeMap<(&'static str, &'static str), Handler>,
    /// Operations whose body the handler reads as it comes.
    streamed: BTreeSet<(&'static str, &'static str)>,
}

impl Operations {
    /// Makes `service` known, unless it is. Its operations answer 501 until they get handlers.
    pub fn service(&mut self, service: &'static ServiceTable) -> ServiceOperations<'_> {
        if !self.services.iter().any(|known| std::ptr::eq(*known, service)) {
            self.services.push(service);
        }
        ServiceOperations { service, handlers: &mut self.handlers, streamed: &mut self.streamed }
    }

    pub fn services(&self) -> &[&'static ServiceTable] {
        &self.services
    }

    /// Whether `operation` has a handler.
    pub fn implements(&self, service: &ServiceTable, operation: &str) -> bool {
        self.handlers.keys().any(|key| *key == (service.name, operation))
    }

    /// Whether the handler of `operation` reads the body as it comes.
    pub fn takes_a_stream(&self, service: &ServiceTable, operation: &str) -> bool {
        self.streamed.iter().any(|key| *key == (service.name, operation))
    }

    /// Answers `operation`.
    ///
    /// # Errors
    /// 501 when there is no handler; else whatever the handler says.
    pub async fn answer(
        &self,
        service: &'static ServiceTable,
        operation: &'static OperationTable,
        call: Call,
        input: Value,
    ) -> Result<Answer, ApiError> {
        self.answer_streamed(service, operation, call, input, Payload::none()).await
    }

    /// [`Operations::answer`] with a body that has not been read.
    ///
    /// # Errors
    /// The same.
    pub async fn answer_streamed(
        &self,
        service: &'static ServiceTable,
        operation: &'static OperationTable,
        call: Call,
        input: Value,
        payload: Payload,
    ) -> Result<Answer, ApiError> {
        match self.handlers.get(&(service.name, operation.name)) {
            Some(_) if service.name == "ec2" && is_dry_run(operation, &input) => Err(ApiError::undeclared(
                "DryRunOperation",
                412,
                "Request would have succeeded, but DryRun flag is set.",
            )),
            Some(handler) => handler(call, input, payload).await,
            None => Err(ApiError::not_implemented(service.service_id, operation.name)),
        }
    }
}

/// Whether the caller only asks if it may: EC2's `DryRun`, which every caller who got this far may.
fn is_dry_run(operation: &OperationTable, input: &Value) -> bool {
    let Value::Structure(members) = input else { return false };
    let at = operation.input.members.iter().position(|member| member.name == "DryRun");
    at.and_then(|at| members.get(at)).is_some_and(|given| *given == Some(Value::Bool(true)))
}

/// Registers the handlers of one service.
pub struct ServiceOperations<'a> {
    service: &'static ServiceTable,
    handlers: &'a mut BTreeMap<(&'static str, &'static str), Handler>,
    streamed: &'a mut BTreeSet<(&'static str, &'static str)>,
}

impl ServiceOperations<'_> {
    /// `handler` answers the operation `O`.
    pub fn on<O, F, R>(&mut self, handler: F) -> &mut Self
    where
        O: Operation + 'static,
        O::Input: Send,
        F: Fn(Call, O::Input) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O::Output, ApiError>> + Send + 'static,
    {
        self.insert(
            O::TABLE.name,
            Box::new(move |call, input, _| match O::Input::from_value(input) {
                Ok(input) => {
                    let answer = handler(call, input);
                    Box::pin(async move { Ok(Answer::Value(answer.await?.into_value())) })
                }
                Err(error) => Box::pin(async move { Err(ApiError::internal(error)) }),
            }),
        )
    }

    /// `handler` answers the operation `O` with a stream of events.
    pub fn on_events<O, F, R, S>(&mut self, handler: F) -> &mut Self
    where
        O: Operation + 'static,
        O::Input: Send,
        F: Fn(Call, O::Input) -> R + Send + Sync + 'static,
        R: Future<Output = Result<S, ApiError>> + Send + 'static,
        S: Stream<Item = Result<(&'static str, Value), ApiError>> + Send + 'static,
    {
        self.insert(
            O::TABLE.name,
            Box::new(move |call, input, _| match O::Input::from_value(input) {
                Ok(input) => {
                    let answer = handler(call, input);
                    Box::pin(async move { Ok(Answer::Events(Box::pin(answer.await?))) })
                }
                Err(error) => Box::pin(async move { Err(ApiError::internal(error)) }),
            }),
        )
    }

    /// `handler` answers the operation `O`, reads its body as it comes, and gives the answer's body as it is read.
    pub fn on_streamed<O, F, R>(&mut self, handler: F) -> &mut Self
    where
        O: Operation + 'static,
        O::Input: Send,
        F: Fn(Call, O::Input, Payload) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Streamed<O::Output>, ApiError>> + Send + 'static,
    {
        self.streamed.insert((self.service.name, O::TABLE.name));
        self.insert(
            O::TABLE.name,
            Box::new(move |call, input, payload| match O::Input::from_value(input) {
                Ok(input) => {
                    let answer = handler(call, input, payload);
                    Box::pin(async move {
                        let Streamed { output, status, content } = answer.await?;
                        let output = output.into_value();
                        Ok(match content {
                            Some(content) => Answer::Content { output, status, content },
                            None => Answer::Value(output),
                        })
                    })
                }
                Err(error) => Box::pin(async move { Err(ApiError::internal(error)) }),
            }),
        )
    }

    fn insert(&mut self, operation: &'static str, handler: Handler) -> &mut Self {
        let previous = self.handlers.insert((self.service.name, operation), handler);
        assert!(previous.is_none(), "{}: {operation} has two handlers", self.service.name);
        self
    }
}
