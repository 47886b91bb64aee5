//! Images built by hand: archives, compression, documents.

use std::io::Write as _;

use image_store::{Digest, Reference};

use super::Registry;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// A layer: its archive, and the bytes that a registry holds of it.
#[derive(Clone)]
pub struct TestLayer {
    pub archive: Vec<u8>,
    pub blob: Vec<u8>,
}

impl TestLayer {
    pub fn gzip(archive: Vec<u8>) -> TestLayer {
        let blob = gzip(&archive);
        TestLayer { archive, blob }
    }

    pub fn plain(archive: Vec<u8>) -> TestLayer {
        TestLayer { blob: archive.clone(), archive }
    }

    /// One directory with one file in it.
    pub fn with_file(path: &str, content: &[u8]) -> TestLayer {
        TestLayer::gzip(archive(&[(path, content)]))
    }

    pub fn diff_id(&self) -> Digest {
        Digest::of(&self.archive)
    }
}

pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image under construction.
#[derive(Clone)]
pub struct TestImage {
    pub layers: Vec<TestLayer>,
    pub os: String,
    pub architecture: String,
    /// The `config` member of the configuration, as JSON.
    pub run: String,
    pub docker: bool,
}

impl TestImage {
    pub fn of(layers: Vec<TestLayer>) -> TestImage {
        TestImage {
            layers,
            os: "linux".to_owned(),
            architecture: image_store::Platform::host().architecture,
            run: "{}".to_owned(),
            docker: false,
        }
    }

    pub fn config_json(&self) -> String {
        let diff_ids: Vec<String> = self.layers.iter().map(|l| format!("\"{}\"", l.diff_id())).collect();
        format!(
            r#"{{"os":"{}","architecture":"{}","config":{},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            self.os,
            self.architecture,
            self.run,
            diff_ids.join(",")
        )
    }

    /// Uploads blobs and manifest; gives the manifest's digest, media type and length.
    pub fn push(&self, registry: &Registry, repository: &str, tag: &str) -> (Digest, &'static str, usize) {
        let config = self.config_json();
        let config_digest = registry.put_blob(config.clone());
        let (media_type, layer_type) =
            if self.docker { (DOCKER_MANIFEST, DOCKER_LAYER) } else { (OCI_MANIFEST, OCI_LAYER) };
        let layers: Vec<String> = self
            .layers
            .iter()
            .map(|layer| {
                let digest = registry.put_blob(layer.blob.clone());
                descriptor(layer_type, &digest, layer.blob.len())
            })
            .collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{},"layers":[{}]}}"#,
            descriptor("application/vnd.oci.image.config.v1+json", &config_digest, config.len()),
            layers.join(",")
        );
        (registry.put_manifest(repository, tag, media_type, &manifest), media_type, manifest.len())
    }
}

pub fn descriptor(media_type: &str, digest: &Digest, size: usize) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

pub fn reference(registry: &Registry, rest: &str) -> Reference {
    Reference::parse(&format!("{}/{rest}", registry.host())).unwrap()
}
