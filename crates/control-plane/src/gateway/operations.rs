//! Which handler answers which operation.
//!
//! A handler is an async function from a [`Call`] and the operation's input to its output; [`Operations::on`]
//! ties it to the operation's marker type, so that a handler with the wrong shapes does not compile. What has no
//! handler is answered with 501 and its name.

use std::{collections::BTreeMap, pin::Pin};

use aws_schema::{Operation, OperationTable, ServiceTable, Shape, Value};
use futures_util::{Stream, stream::BoxStream};

use super::{ApiError, Call};

/// What a handler gives back, before it is encoded.
pub enum Answer {
    Value(Value),
    /// An event stream: pairs of the event's member name and its value. Ends with the stream.
    Events(BoxStream<'static, Result<(&'static str, Value), ApiError>>),
}

type Answering = Pin<Box<dyn Future<Output = Result<Answer, ApiError>> + Send>>;
type Handler = Box<dyn Fn(Call, Value) -> Answering + Send + Sync>;

/// The operations of all services, each with its handler.
#[derive(Default)]
pub struct Operations {
    services: Vec<&'static ServiceTable>,
    handlers: BTreeMap<(&'static str, &'static str), Handler>,
}

impl Operations {
    /// Makes `service` known, unless it is. Its operations answer 501 until they get handlers.
    pub fn service(&mut self, service: &'static ServiceTable) -> ServiceOperations<'_> {
        if !self.services.iter().any(|known| std::ptr::eq(*known, service)) {
            self.services.push(service);
        }
        ServiceOperations { service, handlers: &mut self.handlers }
    }

    pub fn services(&self) -> &[&'static ServiceTable] {
        &self.services
    }

    /// Whether `operation` has a handler.
    pub fn implements(&self, service: &ServiceTable, operation: &str) -> bool {
        self.handlers.keys().any(|key| *key == (service.name, operation))
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
        match self.handlers.get(&(service.name, operation.name)) {
            Some(_) if is_dry_run(operation, &input) => Err(ApiError::undeclared(
                "DryRunOperation",
                412,
                "Request would have succeeded, but DryRun flag is set.",
            )),
            Some(handler) => handler(call, input).await,
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
            Box::new(move |call, input| match O::Input::from_value(input) {
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
            Box::new(move |call, input| match O::Input::from_value(input) {
                Ok(input) => {
                    let answer = handler(call, input);
                    Box::pin(async move { Ok(Answer::Events(Box::pin(answer.await?))) })
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
