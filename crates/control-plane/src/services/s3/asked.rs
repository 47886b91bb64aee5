//! What an operation asks permission for: S3's actions have names of their own. Source: "Actions, resources, and condition keys for Amazon S3" of the
//! service authorization reference.

use aws_schema::{OperationTable, StructureTable, Value};

use super::names::{bucket_arn, object_arn};

/// What an action is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    All,
    Bucket,
    Object,
}

/// The action of each operation. Copies ask for their source, deletions of many for each key, and tags in a header for themselves in the handler.
const ACTIONS: &[(&str, &str, On)] = &[
    ("ListBuckets", "s3:ListAllMyBuckets", On::All),
    ("CreateBucket", "s3:CreateBucket", On::Bucket),
    ("DeleteBucket", "s3:DeleteBucket", On::Bucket),
    ("HeadBucket", "s3:ListBucket", On::Bucket),
    ("ListObjects", "s3:ListBucket", On::Bucket),
    ("ListObjectsV2", "s3:ListBucket", On::Bucket),
    ("ListObjectVersions", "s3:ListBucketVersions", On::Bucket),
    ("ListMultipartUploads", "s3:ListBucketMultipartUploads", On::Bucket),
    ("GetBucketLocation", "s3:GetBucketLocation", On::Bucket),
    ("GetBucketVersioning", "s3:GetBucketVersioning", On::Bucket),
    ("GetBucketEncryption", "s3:GetEncryptionConfiguration", On::Bucket),
    ("GetBucketOwnershipControls", "s3:GetBucketOwnershipControls", On::Bucket),
    ("GetBucketAcl", "s3:GetBucketAcl", On::Bucket),
    ("GetBucketTagging", "s3:GetBucketTagging", On::Bucket),
    ("PutBucketTagging", "s3:PutBucketTagging", On::Bucket),
    ("DeleteBucketTagging", "s3:PutBucketTagging", On::Bucket),
    ("GetBucketPolicy", "s3:GetBucketPolicy", On::Bucket),
    ("PutBucketPolicy", "s3:PutBucketPolicy", On::Bucket),
    ("DeleteBucketPolicy", "s3:DeleteBucketPolicy", On::Bucket),
    ("GetBucketPolicyStatus", "s3:GetBucketPolicyStatus", On::Bucket),
    ("GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock", On::Bucket),
    ("PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock", On::Bucket),
    ("DeletePublicAccessBlock", "s3:PutBucketPublicAccessBlock", On::Bucket),
    ("GetObject", "s3:GetObject", On::Object),
    ("HeadObject", "s3:GetObject", On::Object),
    ("GetObjectAttributes", "s3:GetObjectAttributes", On::Object),
    ("GetObjectAcl", "s3:GetObjectAcl", On::Object),
    ("PutObjectAcl", "s3:PutObjectAcl", On::Object),
    ("SelectObjectContent", "s3:GetObject", On::Object),
    ("PutObject", "s3:PutObject", On::Object),
    ("CopyObject", "s3:PutObject", On::Object),
    ("CreateMultipartUpload", "s3:PutObject", On::Object),
    ("UploadPart", "s3:PutObject", On::Object),
    ("UploadPartCopy", "s3:PutObject", On::Object),
    ("CompleteMultipartUpload", "s3:PutObject", On::Object),
    ("AbortMultipartUpload", "s3:AbortMultipartUpload", On::Object),
    ("ListParts", "s3:ListMultipartUploadParts", On::Object),
    ("DeleteObject", "s3:DeleteObject", On::Object),
    ("GetObjectTagging", "s3:GetObjectTagging", On::Object),
    ("PutObjectTagging", "s3:PutObjectTagging", On::Object),
    ("DeleteObjectTagging", "s3:DeleteObjectTagging", On::Object),
];

/// Condition keys that follow from members.
const KEYS: &[(&str, &str)] = &[
    ("s3:prefix", "Prefix"),
    ("s3:delimiter", "Delimiter"),
    ("s3:max-keys", "MaxKeys"),
    ("s3:x-amz-acl", "ACL"),
    ("s3:x-amz-copy-source", "CopySource"),
    ("s3:x-amz-metadata-directive", "MetadataDirective"),
    ("s3:x-amz-server-side-encryption", "ServerSideEncryption"),
    ("s3:x-amz-storage-class", "StorageClass"),
    ("s3:if-match", "IfMatch"),
    ("s3:if-none-match", "IfNoneMatch"),
];

/// An action, its resource, and the keys that hold for it.
pub struct Asked {
    pub action: &'static str,
    pub resource: String,
    pub keys: Vec<(String, Vec<String>)>,
}

/// Whether the table has the operation.
#[cfg(test)]
pub fn knows(operation: &str) -> bool {
    operation == "DeleteObjects" || ACTIONS.iter().any(|(name, ..)| *name == operation)
}

/// What the operation asks for; none for what asks in its handler, and for what has none.
pub fn asked(operation: &OperationTable, given: &Value) -> Option<Asked> {
    let (_, action, on) = ACTIONS.iter().find(|(name, ..)| *name == operation.name)?;
    let text = |name| member(operation.input, given, name).unwrap_or_default();
    let resource = match on {
        On::All => "*".to_owned(),
        On::Bucket => bucket_arn(&text("Bucket")),
        On::Object => object_arn(&text("Bucket"), &text("Key")),
    };
    let mut keys: Vec<(String, Vec<String>)> = KEYS
        .iter()
        .filter_map(|(key, name)| Some(((*key).to_owned(), vec![member(operation.input, given, name)?])))
        .collect();
    // A list without a prefix is one with an empty prefix.
    if operation.name.starts_with("ListObject") && !keys.iter().any(|(key, _)| key == "s3:prefix") {
        keys.push(("s3:prefix".to_owned(), vec![String::new()]));
    }
    Some(Asked { action, resource, keys })
}

fn member(table: &StructureTable, given: &Value, name: &str) -> Option<String> {
    let Value::Structure(members) = given else { return None };
    match members.get(table.index(name)?)?.as_ref()? {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_schema::{Operation, Shape};
    use aws_shapes_s3 as s3;

    use super::{asked, knows};

    #[test]
    fn every_operation_is_known() {
        for operation in s3::SERVICE.operations {
            assert!(knows(operation.name), "{}", operation.name);
        }
    }

    #[test]
    fn keys_are_resources_as_they_are() {
        let input = s3::GetObjectRequest {
            bucket: Some("mine".to_owned()),
            key: Some("arn:aws:s3:::other/x".to_owned()),
            ..Default::default()
        };
        let asked = asked(s3::GetObject::TABLE, &input.into_value()).unwrap();
        assert_eq!(
            (asked.action, asked.resource.as_str()),
            ("s3:GetObject", "arn:aws:s3:::mine/arn:aws:s3:::other/x")
        );
    }

    #[test]
    fn lists_say_what_they_are_of() {
        let input = s3::ListObjectsV2Request { bucket: Some("mine".to_owned()), ..Default::default() };
        let all = asked(s3::ListObjectsV2::TABLE, &input.clone().into_value()).unwrap();
        assert_eq!(all.keys, [("s3:prefix".to_owned(), vec![String::new()])]);
        let input = s3::ListObjectsV2Request { prefix: Some("home/".to_owned()), ..input };
        let some = asked(s3::ListObjectsV2::TABLE, &input.into_value()).unwrap();
        assert_eq!(some.keys, [("s3:prefix".to_owned(), vec!["home/".to_owned()])]);
    }
}
