//! Which requests are S3's, and the path they mean, whether the bucket stands in it or in the host's name.

use aws_shapes_s3 as s3;
use aws_wire::RequestHead;
use http::{Request, header};

use crate::services::{Services, ec2::records::global, s3::records::Bucket};

/// Where in S3 a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressed {
    /// The path, with the bucket in it wherever it stood; percent-encoded.
    pub(super) path: String,
}

/// Whether a request is S3's for certain: signed for it, or for a host that is a bucket's.
pub fn addressed<B>(request: &Request<B>, own_name: &str) -> Option<Addressed> {
    let head = RequestHead::new(request.method(), request.uri(), request.headers());
    let signed = head.signing_name().as_deref() == Some(s3::SERVICE.signing_name) || is_of_old(request);
    let bucket = bucket_of_host(request, own_name, signed);
    if !signed && bucket.is_none() {
        return None;
    }
    let path = request.uri().path();
    let path = bucket.map_or_else(|| path.to_owned(), |bucket| format!("/{bucket}{path}"));
    Some(Addressed { path })
}

/// Whether an unsigned request's path names a bucket: then it is for what is public in it.
pub fn public<B>(services: &Services, request: &Request<B>) -> Option<Addressed> {
    let headers = request.headers();
    let other = ["x-amz-target", "smithy-protocol", "authorization"];
    if other.iter().any(|name| headers.contains_key(*name)) {
        return None;
    }
    let path = request.uri().path();
    let name = path.strip_prefix('/')?.split('/').next()?;
    let there = services.state.read(|view| view.get::<Bucket>(&global(), name).is_some());
    there.then(|| Addressed { path: path.to_owned() })
}

/// Signed with the version before, which no longer counts.
fn is_of_old<B>(request: &Request<B>) -> bool {
    let query = request.uri().query().unwrap_or("");
    query.contains("AWSAccessKeyId=") && query.contains("Signature=")
}

/// The bucket that a host's name begins with.
fn bucket_of_host<B>(request: &Request<B>, own_name: &str, signed: bool) -> Option<String> {
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).or(authority)?;
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
    let own = own_name.rsplit_once(':').map_or(own_name, |(own, _)| own);
    let s3 =
        |rest: &str| rest == "s3" || rest.strip_prefix("s3.").is_some_and(|region| !region.contains('.'));
    for domain in [".localhost", ".amazonaws.com"] {
        let Some(rest) = host.strip_suffix(domain) else { continue };
        if s3(rest) {
            return None;
        }
        let labels: Vec<&str> = rest.split('.').collect();
        // `BUCKET.s3` or `BUCKET.s3.REGION`; the bucket may have dots.
        for width in [1, 2] {
            if labels.len() > width && s3(&labels[labels.len() - width..].join(".")) {
                return Some(labels[..labels.len() - width].join("."));
            }
        }
    }
    let direct = [".localhost", &format!(".{own}")]
        .iter()
        .find_map(|domain| host.strip_suffix(*domain).map(str::to_owned));
    direct.filter(|_| signed)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::addressed;

    fn path(host: &str, signed: bool, path: &str) -> Option<String> {
        let mut request = Request::builder().uri(path).header("host", host);
        if signed {
            let claim = "AWS4-HMAC-SHA256 Credential=a/20261121/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
            request = request.header("authorization", claim);
        }
        addressed(&request.body(()).unwrap(), "longshore.example:4566").map(|addressed| addressed.path)
    }

    #[test]
    fn the_bucket_stands_in_the_path_or_in_the_host() {
        for host in [
            "127.0.0.1:4566",
            "localhost:4566",
            "s3.localhost:4566",
            "s3.us-east-1.amazonaws.com",
            "longshore.example:4566",
        ] {
            assert_eq!(path(host, true, "/bucket/a%20b?x").as_deref(), Some("/bucket/a%20b"), "{host}");
        }
        for host in [
            "my.bucket.s3.localhost:4566",
            "my.bucket.s3.eu-west-1.amazonaws.com",
            "my.bucket.localhost",
            "my.bucket.longshore.example",
        ] {
            assert_eq!(path(host, true, "/key").as_deref(), Some("/my.bucket/key"), "{host}");
        }
    }

    #[test]
    fn what_is_not_signed_for_it_is_its_only_by_a_name_of_its_own() {
        assert_eq!(path("bucket.s3.localhost:4566", false, "/key").as_deref(), Some("/bucket/key"));
        for host in ["bucket.localhost:4566", "127.0.0.1:4566", "bucket.longshore.example", "s3.localhost"] {
            assert_eq!(path(host, false, "/key"), None, "{host}");
        }
        let other = Request::builder()
            .uri("/?X-Amz-Credential=a%2F20261121%2Fr%2Fecs%2Faws4_request")
            .body(())
            .unwrap();
        assert_eq!(addressed(&other, "x"), None);
        let presigned = Request::builder()
            .uri("/b/k?X-Amz-Credential=a%2F20261121%2Fr%2Fs3%2Faws4_request")
            .body(())
            .unwrap();
        assert!(addressed(&presigned, "x").is_some());
    }
}
