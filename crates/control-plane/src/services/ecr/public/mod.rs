//! ECR Public: the same registry, under names that everyone may read.
//!
//! Most operations are the private ones on a registry of the account's own, whose repositories are called
//! `public/ALIAS/NAME`; `delegate.rs` translates. What only ECR Public has (aliases, catalogue data, the list of tags) is in `own.rs`.

mod delegate;
mod own;
pub mod records;

#[cfg(test)]
mod tests;

use aws_shapes_ecr_public as ecr;

use self::delegate::delegate;
use super::{images, layers, policies, repositories, tags};
use crate::gateway::Operations;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    let mut on = operations.service(ecr::SERVICE);
    on.on::<ecr::CreateRepository, _, _>(own::create_repository)
        .on::<ecr::DeleteRepository, _, _>(own::delete_repository)
        .on::<ecr::DescribeRepositories, _, _>(|call, input| delegate(call, input, repositories::describe))
        .on::<ecr::SetRepositoryPolicy, _, _>(|call, input| delegate(call, input, policies::set))
        .on::<ecr::GetRepositoryPolicy, _, _>(|call, input| delegate(call, input, policies::get))
        .on::<ecr::DeleteRepositoryPolicy, _, _>(|call, input| delegate(call, input, policies::delete))
        .on::<ecr::TagResource, _, _>(|call, input| delegate(call, input, tags::add))
        .on::<ecr::UntagResource, _, _>(|call, input| delegate(call, input, tags::remove))
        .on::<ecr::ListTagsForResource, _, _>(|call, input| delegate(call, input, tags::list))
        .on::<ecr::PutImage, _, _>(|call, input| delegate(call, input, images::put))
        .on::<ecr::DescribeImages, _, _>(|call, input| delegate(call, input, images::describe))
        .on::<ecr::BatchDeleteImage, _, _>(|call, input| delegate(call, input, images::batch_delete))
        .on::<ecr::DescribeImageTags, _, _>(own::describe_image_tags)
        .on::<ecr::InitiateLayerUpload, _, _>(|call, input| delegate(call, input, layers::initiate))
        .on::<ecr::UploadLayerPart, _, _>(|call, input| delegate(call, input, layers::upload_part))
        .on::<ecr::CompleteLayerUpload, _, _>(|call, input| delegate(call, input, layers::complete))
        .on::<ecr::BatchCheckLayerAvailability, _, _>(|call, input| delegate(call, input, layers::check))
        .on::<ecr::GetAuthorizationToken, _, _>(own::authorization_token)
        .on::<ecr::DescribeRegistries, _, _>(own::describe_registries)
        .on::<ecr::PutRegistryCatalogData, _, _>(own::put_registry_catalog_data)
        .on::<ecr::GetRegistryCatalogData, _, _>(own::get_registry_catalog_data)
        .on::<ecr::PutRepositoryCatalogData, _, _>(own::put_repository_catalog_data)
        .on::<ecr::GetRepositoryCatalogData, _, _>(own::get_repository_catalog_data);
}
