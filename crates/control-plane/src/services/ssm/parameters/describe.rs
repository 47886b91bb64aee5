//! DescribeParameters: everything but the values.

use aws_shapes_ssm as ssm;
use aws_shapes_ssm::{DescribeParametersRequest, DescribeParametersResult};
use vocabulary::Scope;

use super::{
    errors::bad_token,
    filters::Filters,
    get::size,
    policies,
    records::{Kind, Parameter, Version, arn, version_id},
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
};

/// On a page, unless the request says otherwise.
const PAGE: i32 = 10;

pub async fn describe(
    call: Call,
    input: DescribeParametersRequest,
) -> Result<DescribeParametersResult, ApiError> {
    let filters =
        Filters::of_list(input.parameter_filters.unwrap_or_default(), input.filters.unwrap_or_default())?;
    if input.shared == Some(true) {
        // Nothing is shared between accounts here.
        return Ok(DescribeParametersResult { next_token: None, parameters: Some(Vec::new()) });
    }
    let scope = call.scope();
    let page = call.services.state.read(|view| {
        let all = view.scan::<Parameter>(scope).filter_map(|(_, parameter)| {
            let version = view.get::<Version>(scope, &version_id(&parameter.name, parameter.version))?;
            filters.matches(&parameter, &version).then_some((parameter, version))
        });
        call.services.page_tokens.page(
            &format!("ssm parameters {scope:?}"),
            all,
            |(parameter, _)| parameter.name.clone(),
            input.next_token.as_deref(),
            size(input.max_results, PAGE),
        )
    });
    let page = page.map_err(|_| bad_token())?;
    let shown = page.items.into_iter().map(|(parameter, version)| shape(scope, &parameter, &version));
    Ok(DescribeParametersResult { parameters: Some(shown.collect()), next_token: page.next_token })
}

fn shape(scope: &Scope, parameter: &Parameter, version: &Version) -> ssm::ParameterMetadata {
    ssm::ParameterMetadata {
        arn: Some(arn(scope, &parameter.name)),
        allowed_pattern: version.allowed_pattern.clone(),
        data_type: Some(version.data_type.clone()),
        description: version.description.clone(),
        key_id: version.key_id.clone().filter(|_| version.kind == Kind::SecureString),
        last_modified_date: Some(time(version.modified_at)),
        last_modified_user: Some(version.modified_by.clone()),
        name: Some(parameter.name.clone()),
        policies: Some(policies::shown(&version.policies)),
        tier: Some(version.tier.shape()),
        r#type: Some(version.kind.shape()),
        version: Some(version.version),
    }
}
