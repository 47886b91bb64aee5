//! Image scanning. The settings are kept; there is no scanner, which every scan that is asked for says.

use aws_shapes_ecr as ecr;
use aws_shapes_ecr::{
    BatchGetRepositoryScanningConfigurationRequest, BatchGetRepositoryScanningConfigurationResponse,
    DescribeImageScanFindingsRequest, DescribeImageScanFindingsResponse,
    GetRegistryScanningConfigurationRequest, GetRegistryScanningConfigurationResponse,
    PutRegistryScanningConfigurationRequest, PutRegistryScanningConfigurationResponse, ScanFrequency,
    ScanType, StartImageScanRequest, StartImageScanResponse, errors,
};

use super::errors::invalid;
use super::images::{required, written};
use super::{Target, catalog, registry_settings};
use crate::convert::AwsJson;
use crate::gateway::{ApiError, Call};
use crate::registry::records::wildcard_matches;

pub async fn start(call: Call, input: StartImageScanRequest) -> Result<StartImageScanResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    required(&call, &target, &input.image_id.unwrap_or_default())?;
    let message = "Longshore has no image scanner: this image cannot be scanned.";
    Err(ApiError::new(&errors::UNSUPPORTED_IMAGE_TYPE_EXCEPTION, message))
}

pub async fn findings(
    call: Call,
    input: DescribeImageScanFindingsRequest,
) -> Result<DescribeImageScanFindingsResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let id = input.image_id.unwrap_or_default();
    required(&call, &target, &id)?;
    let message =
        format!("Image scan does not exist for the image with '{}' {}", written(&id), target.in_registry());
    Err(ApiError::new(&errors::SCAN_NOT_FOUND_EXCEPTION, message))
}

pub async fn put_of_registry(
    call: Call,
    input: PutRegistryScanningConfigurationRequest,
) -> Result<PutRegistryScanningConfigurationResponse, ApiError> {
    let scan_type = input.scan_type.unwrap_or(ScanType::Basic);
    let rules = input.rules.unwrap_or_default();
    let continuous = rules.iter().any(|rule| rule.scan_frequency == Some(ScanFrequency::ContinuousScan));
    if scan_type == ScanType::Basic && continuous {
        return Err(invalid(
            "Invalid parameter at 'rules' failed to satisfy constraint: 'CONTINUOUS_SCAN is available with ENHANCED scanning only'",
        ));
    }
    let chosen = ecr::RegistryScanningConfiguration { rules: Some(rules), scan_type: Some(scan_type) };
    registry_settings::update(&call, |settings| settings.scanning = Some(AwsJson(chosen.clone()))).await?;
    Ok(PutRegistryScanningConfigurationResponse { registry_scanning_configuration: Some(chosen) })
}

pub async fn get_of_registry(
    call: Call,
    _: GetRegistryScanningConfigurationRequest,
) -> Result<GetRegistryScanningConfigurationResponse, ApiError> {
    Ok(GetRegistryScanningConfigurationResponse {
        registry_id: Some(call.scope().account.to_string()),
        scanning_configuration: Some(configuration(&call)),
    })
}

pub async fn batch_get(
    call: Call,
    input: BatchGetRepositoryScanningConfigurationRequest,
) -> Result<BatchGetRepositoryScanningConfigurationResponse, ApiError> {
    let scope = call.scope();
    let rules = configuration(&call).rules.unwrap_or_default();
    let (mut configurations, mut failures) = (Vec::new(), Vec::new());
    for name in input.repository_names.unwrap_or_default() {
        let Ok(repository) = catalog(&call).repository(scope, &name) else {
            failures.push(ecr::RepositoryScanningConfigurationFailure {
                failure_code: Some(ecr::ScanningConfigurationFailureCode::RepositoryNotFound),
                failure_reason: Some("REPOSITORY_NOT_FOUND".to_owned()),
                repository_name: Some(name),
            });
            continue;
        };
        let applied = rules.iter().find(|rule| matches(rule, &name));
        let by_default =
            if repository.scan_on_push { ScanFrequency::ScanOnPush } else { ScanFrequency::Manual };
        let frequency = applied.and_then(|rule| rule.scan_frequency).unwrap_or(by_default);
        configurations.push(ecr::RepositoryScanningConfiguration {
            applied_scan_filters: Some(
                applied.and_then(|rule| rule.repository_filters.clone()).unwrap_or_default(),
            ),
            repository_arn: Some(scope.arn("ecr", format_args!("repository/{name}")).to_string()),
            repository_name: Some(name),
            scan_frequency: Some(frequency),
            scan_on_push: Some(repository.scan_on_push),
        });
    }
    Ok(BatchGetRepositoryScanningConfigurationResponse {
        failures: Some(failures),
        scanning_configurations: Some(configurations),
    })
}

fn configuration(call: &Call) -> ecr::RegistryScanningConfiguration {
    let set = registry_settings::read(call).scanning.map(|AwsJson(chosen)| chosen);
    set.unwrap_or_else(|| ecr::RegistryScanningConfiguration {
        rules: Some(Vec::new()),
        scan_type: Some(ScanType::Basic),
    })
}

fn matches(rule: &ecr::RegistryScanningRule, name: &str) -> bool {
    let filters = rule.repository_filters.iter().flatten();
    filters.filter_map(|filter| filter.filter.as_deref()).any(|pattern| wildcard_matches(pattern, name))
}
