//! What an image may cost the machine it is pulled to.
//!
//! The defaults are far above anything that is built in earnest and far below what takes a machine down.

/// Bounds on one image and its layers. Exceeding one refuses the image with an error that names the bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Uncompressed bytes of one layer's archive. 64 GiB: the largest machine-learning layers seen in public
    /// registries are about half of that.
    pub max_layer_bytes: u64,
    /// Uncompressed bytes of all layers of one image. 200 GiB: the largest ephemeral storage of a FARGATE task.
    pub max_image_bytes: u64,
    /// How many bytes one compressed byte may become, once a layer is past `ratio_free_bytes`. 200: real layers
    /// stay under 50, zeros reach 1,000 with gzip and far more with zstd.
    pub max_compression_ratio: u64,
    /// Uncompressed size under which the ratio is not looked at: 1 GiB, so that small layers of zeros pass.
    pub ratio_free_bytes: u64,
    /// Entries in one layer, 2 million: each costs an inode, a default ext4 of 32 GiB has as many.
    pub max_entries: u64,
    /// Length of a path within a layer, 4,096: the kernel's PATH_MAX.
    pub max_path_bytes: usize,
    /// Components of a path within a layer.
    pub max_path_depth: usize,
    /// Extended header (names, attributes) of one entry, 1 MiB: file systems hold at most 64 KiB per attribute.
    pub max_extended_header_bytes: u64,
    /// Layers of one image, 500: the kernel's bound on an overlay's lower directories.
    pub max_layers: usize,
    /// Bytes that stay free on the file system after the unpacking: 256 MiB, so that the machine can still log.
    pub keep_free_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_layer_bytes: 64 << 30,
            max_image_bytes: 200 << 30,
            max_compression_ratio: 200,
            ratio_free_bytes: 1 << 30,
            max_entries: 2_000_000,
            max_path_bytes: 4096,
            max_path_depth: 255,
            max_extended_header_bytes: 1 << 20,
            max_layers: 500,
            keep_free_bytes: 256 << 20,
        }
    }
}
