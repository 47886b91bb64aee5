//! Asks at a constant rate and counts what failed: for the benchmark of deployments, and for trying by hand.
//!
//!     cargo run --release -p load-balancer --example load -- ADDRESS[,ADDRESS…] REQUESTS_PER_SECOND CONNECTIONS
//!
//! Requests begin when they are due, whatever became of those before (each connection carries one at a time; one that is late asks at once);
//! latency counts from when a request was due. Nothing is repeated. A line `mark` on standard input prints the counts since the last one as JSON; at its
//! end the program prints the last and ends.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};

/// Longer than any answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Counts since the last mark.
#[derive(Default)]
struct Counts {
    pages: BTreeMap<String, u64>,
    failures: BTreeMap<String, u64>,
    latencies_us: Vec<u32>,
}

impl Counts {
    fn print(&mut self) {
        let mut latencies = std::mem::take(&mut self.latencies_us);
        latencies.sort_unstable();
        let part = |of: f64| latencies.get((latencies.len() as f64 * of) as usize).copied().unwrap_or(0);
        println!(
            "{}",
            serde_json::json!({
                "answered": self.pages.values().sum::<u64>(),
                "pages": std::mem::take(&mut self.pages),
                "failures": std::mem::take(&mut self.failures),
                "p50_us": part(0.5),
                "p99_us": part(0.99),
                "max_us": latencies.last().copied().unwrap_or(0),
            })
        );
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [addresses, rate, connections] = arguments.as_slice() else {
        return Err("usage: load ADDRESS[,ADDRESS…] REQUESTS_PER_SECOND CONNECTIONS".into());
    };
    let addresses: Vec<SocketAddr> = addresses.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let (rate, connections): (f64, u32) = (rate.parse()?, connections.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (counts, ending) = (Arc::<Mutex<Counts>>::default(), Arc::new(AtomicBool::new(false)));
        let period = Duration::from_secs_f64(f64::from(connections) / rate);
        let began = Instant::now();
        let asking: Vec<_> = (0..connections)
            .map(|number| {
                let address = addresses[number as usize % addresses.len()];
                let first = began + period.mul_f64(f64::from(number) / f64::from(connections));
                tokio::spawn(ask(address, first, period, Arc::clone(&counts), Arc::clone(&ending)))
            })
            .collect();
        let marked = Arc::clone(&counts);
        let marks = tokio::task::spawn_blocking(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if line == "mark" {
                    marked.lock().expect("no panic").print();
                }
            }
        });
        marks.await?;
        ending.store(true, Ordering::Relaxed);
        for one in asking {
            one.await?;
        }
        counts.lock().expect("no panic").print();
        Ok(())
    })
}

async fn ask(
    address: SocketAddr,
    mut due: Instant,
    period: Duration,
    counts: Arc<Mutex<Counts>>,
    ending: Arc<AtomicBool>,
) {
    let mut connection = None;
    while !ending.load(Ordering::Relaxed) {
        sleep_until(due).await;
        let outcome = timeout(LIMIT, one(address, &mut connection)).await;
        let latency = u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX);
        {
            let mut counts = counts.lock().expect("no panic");
            match outcome {
                Ok(Ok(page)) => {
                    *counts.pages.entry(page).or_default() += 1;
                    counts.latencies_us.push(latency);
                }
                Ok(Err(error)) => {
                    *counts.failures.entry(error.to_string()).or_default() += 1;
                    connection = None;
                }
                Err(_) => {
                    *counts.failures.entry("no answer in time".to_owned()).or_default() += 1;
                    connection = None;
                }
            }
        }
        // What was missed is not made up for.
        due = (due + period).max(Instant::now() - period);
    }
}

async fn one(
    address: SocketAddr,
    connection: &mut Option<SendRequest<Empty<Bytes>>>,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    // A connection that was ended between requests is no failed request.
    if connection.as_ref().is_none_or(SendRequest::is_closed) {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // Its requests tell what became of it.
            let _ = driver.await;
        });
        *connection = Some(sender);
    }
    let sender = connection.as_mut().ok_or("no connection")?;
    sender.ready().await?;
    let request = Request::get("/").header(header::HOST, address.to_string()).body(Empty::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    if status != StatusCode::OK {
        return Err(format!("status {status}").into());
    }
    Ok(String::from_utf8_lossy(&body).trim().to_owned())
}
