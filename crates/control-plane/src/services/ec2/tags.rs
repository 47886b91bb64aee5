//! Tags of EC2 resources: given at creation (`TagSpecification`), and by CreateTags, DeleteTags and DescribeTags.

use aws_schema::Unit;
use aws_shapes_ec2::{
    CreateTagsRequest, DeleteTagsRequest, DescribeTagsRequest, DescribeTagsResult, Tag, TagDescription,
    TagSpecification,
};
use state_store::{Record, Tx, View};
use vocabulary::Scope;

use super::{
    errors::{error, invalid_value},
    filters::{Filtered, Filters},
    page,
    records::{ElasticAddress, InternetGateway, NetworkInterface, RouteTable, SecurityGroup, Subnet, Vpc},
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::{self, InvalidTags, Tags},
};

fn refused(error: InvalidTags) -> ApiError {
    match error {
        InvalidTags::TooMany => super::errors::error("TagLimitExceeded", error.to_string()),
        _ => invalid_value(error.to_string()),
    }
}

/// The tags that a creating call gives its resource of `kind`.
///
/// # Errors
/// `InvalidParameterValue` for tags of another kind of resource or against the rules.
pub fn specified(kind: &str, given: Option<Vec<TagSpecification>>) -> Result<Tags, ApiError> {
    let mut pairs = Vec::new();
    for specification in given.unwrap_or_default() {
        let of = specification.resource_type.unwrap_or_default();
        let tags = specification.tags.unwrap_or_default();
        if of.is_empty() {
            return Err(error("InvalidParameter", "Tag specification resource type must have a value"));
        }
        if tags.is_empty() {
            return Err(error("InvalidParameter", "Tag specification must have at least one tag"));
        }
        if of != kind {
            return Err(invalid_value(format!(
                "'{of}' is not a valid taggable resource type for this operation."
            )));
        }
        pairs.extend(tags.into_iter().map(|tag| (tag.key, tag.value)));
    }
    tagging::checked(pairs).map_err(refused)
}

/// As the API shows tags.
pub fn shape(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

/// Changes the tags of the resource `id`, whatever kind its prefix says it is.
fn edit(
    tx: &mut Tx,
    scope: &Scope,
    id: &str,
    change: &dyn Fn(&mut Tags) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    fn of<R: Record>(
        tx: &mut Tx,
        scope: &Scope,
        id: &str,
        tags: impl Fn(&mut R) -> &mut Tags,
        change: &dyn Fn(&mut Tags) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let found = tx.get::<R>(scope, id).ok_or_else(|| not_found(id))?;
        let mut record = (*found).clone();
        change(tags(&mut record))?;
        tx.put(scope, id, record);
        Ok(())
    }
    match id.split('-').next() {
        Some("vpc") => of::<Vpc>(tx, scope, id, |record| &mut record.tags, change),
        Some("subnet") => of::<Subnet>(tx, scope, id, |record| &mut record.tags, change),
        Some("sg") => of::<SecurityGroup>(tx, scope, id, |record| &mut record.tags, change),
        Some("igw") => of::<InternetGateway>(tx, scope, id, |record| &mut record.tags, change),
        Some("rtb") => of::<RouteTable>(tx, scope, id, |record| &mut record.tags, change),
        Some("eipalloc") => of::<ElasticAddress>(tx, scope, id, |record| &mut record.tags, change),
        Some("eni") => of::<NetworkInterface>(tx, scope, id, |record| &mut record.tags, change),
        Some("sgr") => {
            let groups = tx.scan::<SecurityGroup>(scope);
            let (group_id, group) = groups
                .into_iter()
                .find(|(_, group)| group.rules.iter().any(|rule| rule.id == id))
                .ok_or_else(|| not_found(id))?;
            let mut group = (*group).clone();
            for rule in group.rules.iter_mut().filter(|rule| rule.id == id) {
                change(&mut rule.tags)?;
            }
            tx.put(scope, &group_id, group);
            Ok(())
        }
        _ => Err(not_found(id)),
    }
}

fn not_found(id: &str) -> ApiError {
    error("InvalidID", format!("The ID '{id}' is not valid"))
}

pub async fn create(call: Call, input: CreateTagsRequest) -> Result<Unit, ApiError> {
    let pairs = input.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    let added = tagging::checked(pairs).map_err(refused)?;
    let ids = input.resources.unwrap_or_default();
    let scope = call.scope();
    call.services
        .state
        .transact(|tx| {
            for id in &ids {
                edit(tx, scope, id, &|tags| {
                    *tags = tagging::merged(std::mem::take(tags), added.clone()).map_err(refused)?;
                    Ok(())
                })?;
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(Unit)
}

pub async fn delete(call: Call, input: DeleteTagsRequest) -> Result<Unit, ApiError> {
    let ids = input.resources.unwrap_or_default();
    let given = input.tags;
    let scope = call.scope();
    call.services
        .state
        .transact(|tx| {
            for id in &ids {
                edit(tx, scope, id, &|tags| {
                    // No tags given: all of them. A tag without a value: whatever value it has.
                    let removed = |key: &str, value: &str| match &given {
                        None => true,
                        Some(given) => given.iter().any(|tag| {
                            tag.key.as_deref() == Some(key)
                                && tag.value.as_deref().is_none_or(|wanted| wanted == value)
                        }),
                    };
                    tags.retain(|key, value| !removed(key, value));
                    Ok(())
                })?;
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(Unit)
}

struct TagOf {
    id: String,
    kind: &'static str,
    key: String,
    value: String,
    none: Tags,
}

impl Filtered for TagOf {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        match name {
            "key" => Some(vec![self.key.clone()]),
            "value" => Some(vec![self.value.clone()]),
            "resource-id" => Some(vec![self.id.clone()]),
            "resource-type" => Some(vec![self.kind.to_owned()]),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        &self.none
    }
}

fn all(view: &View, scope: &Scope) -> Vec<TagOf> {
    let mut found = Vec::new();
    let mut add = |id: &str, kind: &'static str, tags: &Tags| {
        found.extend(tags.iter().map(|(key, value)| TagOf {
            id: id.to_owned(),
            kind,
            key: key.clone(),
            value: value.clone(),
            none: Tags::new(),
        }));
    };
    for (id, record) in view.scan::<ElasticAddress>(scope) {
        add(id, "elastic-ip", &record.tags);
    }
    for (id, record) in view.scan::<InternetGateway>(scope) {
        add(id, "internet-gateway", &record.tags);
    }
    for (id, record) in view.scan::<RouteTable>(scope) {
        add(id, "route-table", &record.tags);
    }
    for (id, record) in view.scan::<NetworkInterface>(scope) {
        add(id, "network-interface", &record.tags);
    }
    for (id, record) in view.scan::<SecurityGroup>(scope) {
        add(id, "security-group", &record.tags);
        for rule in &record.rules {
            add(&rule.id, "security-group-rule", &rule.tags);
        }
    }
    for (id, record) in view.scan::<Subnet>(scope) {
        add(id, "subnet", &record.tags);
    }
    for (id, record) in view.scan::<Vpc>(scope) {
        add(id, "vpc", &record.tags);
    }
    found
}

pub async fn describe(call: Call, input: DescribeTagsRequest) -> Result<DescribeTagsResult, ApiError> {
    let filters = Filters::new(input.filters);
    let mut found = Vec::new();
    for tag in call.services.state.read(|view| all(view, call.scope())) {
        // `tag:KEY` and its like name the tag itself here.
        let own = TagOf { none: Tags::from([(tag.key.clone(), tag.value.clone())]), ..tag };
        if filters.match_all(&own)? {
            found.push(own);
        }
    }
    let key = |tag: &TagOf| format!("{}/{}", tag.id, tag.key);
    found.sort_by_key(key);
    let page = page(&call, "tags", found, key, input.next_token, input.max_results)?;
    let tags = page.items.into_iter().map(|tag| TagDescription {
        key: Some(tag.key),
        value: Some(tag.value),
        resource_id: Some(tag.id),
        resource_type: Some(tag.kind.to_owned()),
    });
    Ok(DescribeTagsResult { tags: Some(tags.collect()), next_token: page.next_token })
}
