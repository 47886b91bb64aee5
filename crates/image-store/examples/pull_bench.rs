//! How fast a pull is against the floor: the same bytes hashed, decompressed, hashed again and written with nothing
//! between. Both run in this process, with the same number of threads; ratios hold better than seconds.
//!
//! `cargo run --release -p image-store --example pull_bench [MEGABYTES] [LAYERS] [REFERENCE]`
//!
//! With a REFERENCE (`127.0.0.1:5000/app:v1`), pulls that instead of the generated image, without a floor.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use image_store::{ImageStore, PullOptions, Reference};
use sha2::{Digest as _, Sha256};
use support::{
    Registry,
    images::{TestImage, TestLayer, gzip, reference},
};

const ROUNDS: usize = 5;

/// Kept until the end: ext4 looks long for an inode that was not freed a moment ago.
static SCRATCH: std::sync::Mutex<Vec<tempfile::TempDir>> = std::sync::Mutex::new(Vec::new());

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, otherwise: usize| {
        arguments.get(index).map_or(otherwise, |a| a.parse().expect("a number"))
    };
    let (megabytes, layers) = (number(0, 200), number(1, 5));
    if let Some(name) = arguments.get(2) {
        let name = Reference::parse(name).expect("a reference");
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            best = best.min(pull(&name).await);
        }
        println!("pull of {name}: {:.3} s", best.as_secs_f64());
        SCRATCH.lock().expect("no panic elsewhere").clear();
        return;
    }

    let image =
        TestImage::of((0..layers).map(|n| generate(megabytes * 1_000_000 / layers, n as u64)).collect());
    let compressed: usize = image.layers.iter().map(|l| l.blob.len()).sum();
    println!("{megabytes} MB in {layers} layers, {} MB compressed", compressed / 1_000_000);
    let registry = Registry::start().await;
    image.push(&registry, "app", "v1");
    let name = reference(&registry, "app:v1");

    // In turn, so that what else the machine does meets both.
    let (mut best_pull, mut best_floor) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        best_pull = best_pull.min(pull(&name).await);
        best_floor = best_floor.min(floor(&image.layers));
    }
    let (pull, floor) = (best_pull, best_floor);
    println!("pull  {:.3} s ({:.0} MB/s)", pull.as_secs_f64(), megabytes as f64 / pull.as_secs_f64());
    println!("floor {:.3} s ({:.0} MB/s)", floor.as_secs_f64(), megabytes as f64 / floor.as_secs_f64());
    println!("ratio {:.2}", pull.as_secs_f64() / floor.as_secs_f64());
    SCRATCH.lock().expect("no panic elsewhere").clear();
}

/// One pull into an empty store, from the call to the image.
async fn pull(name: &Reference) -> Duration {
    let directory = scratch();
    let options = image_store::StoreOptions { durable: false, ..Default::default() };
    let store = ImageStore::open(directory, options).await.expect("an empty store");
    let start = Instant::now();
    store.pull(name, PullOptions::default()).await.expect("a pull");
    let took = start.elapsed();
    store.quiesce().await;
    took
}

/// Every layer once through both digests and onto the disk, as many at a time as there are processors.
fn floor(layers: &[TestLayer]) -> Duration {
    let directory = scratch();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(layer) = layers.get(index) else { return };
                    unpack(layer, &directory.join(index.to_string()));
                }
            });
        }
    });
    start.elapsed()
}

fn unpack(layer: &TestLayer, target: &Path) {
    let digest = Sha256::digest(&layer.blob);
    std::hint::black_box(digest);
    let hashed =
        Hashed { inner: flate2::bufread::GzDecoder::new(layer.blob.as_slice()), hasher: Sha256::new() };
    let mut archive = tar::Archive::new(io::BufReader::with_capacity(128 << 10, hashed));
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.unpack(target).expect("an archive");
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).expect("its end");
    std::hint::black_box(rest.into_inner().hasher.finalize());
}

struct Hashed<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

fn scratch() -> PathBuf {
    let directory =
        tempfile::Builder::new().prefix("lsh-bench-").tempdir_in("/var/tmp").expect("a directory");
    let path = directory.path().to_owned();
    SCRATCH.lock().expect("no panic elsewhere").push(directory);
    path
}

/// A layer of about `bytes`: files from 2 KB to 4 MB that compress about as programs do.
fn generate(bytes: usize, seed: u64) -> TestLayer {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut builder = tar::Builder::new(Vec::new());
    let mut written = 0;
    while written < bytes {
        let size = (2_048 << (next() % 12)).min(bytes - written).max(1);
        let mut content = Vec::with_capacity(size);
        while content.len() < size {
            // Half of it noise, half of it repeated.
            let word = next();
            content.extend(word.to_le_bytes());
            content.extend((word & 0x0f0f).to_le_bytes());
        }
        content.truncate(size);
        let mut header = tar::Header::new_gnu();
        header.set_size(size as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        builder
            .append_data(&mut header, format!("usr/lib/{seed}/{written}"), content.as_slice())
            .expect("memory");
        written += size;
    }
    let archive = builder.into_inner().expect("memory");
    TestLayer { blob: gzip(&archive), archive }
}
