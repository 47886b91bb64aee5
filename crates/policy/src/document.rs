//! What a policy document says, before it is compiled. A parser of JSON fills these.

/// In the older language `${…}` is not a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LanguageVersion {
    V2008,
    V2012,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub sid: Option<String>,
    pub effect: Effect,
    /// In policies of resources and in trust policies; elsewhere a statement is about whoever has the policy.
    pub principals: Option<Clause<NamedPrincipal>>,
    pub actions: Clause<String>,
    /// Not in trust policies, whose resource is the role.
    pub resources: Option<Clause<String>>,
    pub conditions: Vec<Condition>,
}

/// `Action` and `NotAction`, `Resource` and `NotResource`, `Principal` and `NotPrincipal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause<T> {
    pub negated: bool,
    pub members: Vec<T>,
}

/// Who a statement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedPrincipal {
    /// `"*"`
    Anyone,
    /// `{"AWS": …}`: an ARN, an account or `*`.
    Aws(String),
    /// `{"Service": …}`
    Service(String),
    /// `{"Federated": …}`
    Federated(String),
    /// `{"CanonicalUser": …}`: S3's older name of an account. No caller is known by it.
    CanonicalUser(String),
}

/// One operator applied to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub quantifier: Option<Quantifier>,
    /// `StringEquals`; without quantifier and `IfExists`.
    pub operator: String,
    pub if_exists: bool,
    pub key: String,
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    AllValues,
    AnyValue,
}
