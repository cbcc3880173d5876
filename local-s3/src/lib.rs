//! A real S3 server for the tests: versitygw over a folder, built once by Go into the cache that Kafka's jars lie in.
//!
//! Each server has a folder and a free port of its own, can be killed and started again, and ends with the test process,
//! however that ends. For tests alone: the product speaks to whatever S3 it is given.

use std::fs::{File, TryLockError};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The pinned version of versitygw.
pub const VERSION: &str = "1.8.0";

const MODULE: &str = "github.com/versity/versitygw/cmd/versitygw";
const ACCESS: &str = "throughline";
const SECRET: &str = "only-for-tests";
/// How long another process may build before it is not waited for any longer, and how long a start may take.
const BUILD_LIMIT: Duration = Duration::from_secs(900);
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running server.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    dir: PathBuf,
    port: u16,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    server: Child,
    /// Kills the server when this process is gone: then nobody holds the other end of its input.
    watcher: Child,
}

/// The one server of this test process, started by whoever asks first. Whoever uses it takes a bucket of its own.
///
/// # Panics
///
/// When it cannot be started: a test without its server has failed. The message says what to mend.
pub fn shared_test_server() -> &'static Server {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    match SERVER.get_or_init(|| Server::start().map_err(|error| error.to_string())) {
        Ok(server) => server,
        #[allow(clippy::panic, reason = "for tests only")]
        Err(error) => panic!("no S3 for the tests: {error}"),
    }
}

impl Server {
    /// Starts a server over a new temporary folder, which goes away with it.
    pub fn start() -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("local-s3-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir)?;
        let mut server = Self {
            program: ensure()?,
            dir,
            port: free_port()?,
            running: None,
        };
        server.restart()?;
        Ok(server)
    }

    /// Makes a new bucket and tells its name.
    pub fn make_bucket(&self) -> io::Result<String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bucket-{}-{number}", std::process::id());
        // A bucket of versitygw is a folder.
        std::fs::create_dir(self.dir.join(&name))?;
        Ok(name)
    }

    /// The folder that holds a bucket's objects as files.
    pub fn bucket_dir(&self, bucket: &str) -> PathBuf {
        self.dir.join(bucket)
    }

    /// Host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The environment variables by which a client finds it.
    pub fn variables(&self) -> Vec<(String, String)> {
        variables(&self.address())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            for child in [&mut running.watcher, &mut running.server] {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }

    /// Starts it, after a kill, over the same folder and on the same port, and waits until it answers.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill();
        let log = File::create(self.dir.with_extension("log"))?;
        let server = Command::new(&self.program)
            .args(["--port", &self.address()])
            .args(["--access", ACCESS, "--secret", SECRET, "--quiet", "posix"])
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let watcher = Command::new("sh")
            .args([
                "-c",
                &format!("read -r _; kill -9 {} 2>/dev/null", server.id()),
            ])
            .stdin(Stdio::piped())
            .spawn()?;
        self.running = Some(Running { server, watcher });
        let since = Instant::now();
        while TcpStream::connect(self.address()).is_err() {
            let has_ended = self
                .running
                .as_mut()
                .is_some_and(|running| matches!(running.server.try_wait(), Ok(Some(_))));
            if has_ended || since.elapsed() > START_LIMIT {
                let said = std::fs::read_to_string(self.dir.with_extension("log"));
                return Err(io::Error::other(format!(
                    "versitygw does not answer: {}",
                    said.unwrap_or_default()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
        let _ = std::fs::remove_file(self.dir.with_extension("log"));
    }
}

/// The environment variables by which a client finds a server at this address, with the keys of the tests.
pub fn variables(address: &str) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ACCESS_KEY_ID", ACCESS.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// The program in the cache, built if it is not there yet. Processes that come at once wait for the one that builds.
fn ensure() -> io::Result<PathBuf> {
    let cache = local_kafka::default_cache_dir().map_err(io::Error::other)?;
    let dir = cache.join(format!("versitygw-{VERSION}"));
    let program = dir.join("versitygw");
    if program.exists() {
        return Ok(program);
    }
    std::fs::create_dir_all(&cache)?;
    let lock = File::create(cache.join(format!("versitygw-{VERSION}.lock")))?;
    let since = Instant::now();
    while let Err(error) = lock.try_lock() {
        match error {
            TryLockError::Error(error) => return Err(error),
            TryLockError::WouldBlock if since.elapsed() > BUILD_LIMIT => {
                return Err(io::Error::other(
                    "another process builds versitygw for too long",
                ));
            }
            TryLockError::WouldBlock => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    if !program.exists() {
        build(&dir)?;
    }
    Ok(program)
}

/// The caller holds the lock.
fn build(dir: &Path) -> io::Result<()> {
    let partial = dir.with_file_name(format!("versitygw-{VERSION}.partial"));
    let _ = std::fs::remove_dir_all(&partial);
    std::fs::create_dir_all(&partial)?;
    let built = Command::new("go")
        .args(["install", &format!("{MODULE}@v{VERSION}")])
        .env("GOBIN", &partial)
        // A Go that is older than the module wants fetches the one that it wants.
        .env("GOTOOLCHAIN", "auto")
        .current_dir(&partial)
        .output()
        .map_err(|error| {
            io::Error::other(format!(
                "go cannot be started ({error}); install Go 1.21 or newer, which the tests need to build an S3 server"
            ))
        })?;
    if !built.status.success() {
        return Err(io::Error::other(format!(
            "go install {MODULE}@v{VERSION}: {}",
            String::from_utf8_lossy(&built.stderr)
        )));
    }
    std::fs::rename(&partial, dir)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
