//! A small S3 in this process that answers as it is told: late, twice, wrongly. What a real one does is tested with Kafka.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::Root;
use crate::compact::Compactor;
use crate::samples::{collection, write_once};
use crate::write::Written;

/// What happens to a PUT, in place of what should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// None.
    Well,
    /// Refused with this status.
    Refused(u16),
    /// Stored, and answered with this status.
    StoredBut(u16),
    /// Stored, and never answered.
    StoredAndSilent,
    /// Stored for somebody else, and refused with 412.
    StolenFrom,
}

#[derive(Default)]
struct Store {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    faults: Mutex<VecDeque<Fault>>,
    puts: AtomicU64,
    ignores_conditions: bool,
}

impl Store {
    fn of(faults: &[Fault]) -> Arc<Self> {
        Arc::new(Self {
            faults: Mutex::new(faults.iter().copied().collect()),
            ..Self::default()
        })
    }

    /// Serves this store on a free port, for as long as the test runs.
    fn serve(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let store = Arc::clone(self);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let store = Arc::clone(&store);
                std::thread::spawn(move || while store.answer(&connection).is_some() {});
            }
        });
        address
    }

    fn bucket(self: &Arc<Self>, spool: &Path) -> Bucket {
        Bucket::connect(
            Path::new("s3://bucket/archive"),
            local_s3::variables(&self.serve()),
            &S3Config {
                request_timeout_ms: 1_000,
                retry_max_ms: 5_000,
                ..S3Config::default()
            },
            spool,
        )
        .unwrap()
    }

    fn answer(&self, connection: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(connection);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_ascii_lowercase()),
            }
        }
        let header = |name: &str| {
            let mut values = lines.iter().filter_map(|line| line.split_once(": "));
            values
                .find(|(found, _)| *found == name)
                .map(|(_, value)| value.to_owned())
        };
        let bytes = header("content-length").map_or(0, |bytes| bytes.parse().unwrap());
        let mut body = vec![0; bytes];
        reader.read_exact(&mut body).ok()?;
        let mut words = lines[0].split(' ');
        let (method, key) = (words.next().unwrap(), words.next().unwrap().to_owned());
        let mut objects = self.objects.lock().unwrap();
        let (status, content) = match method {
            "put" => {
                self.puts.fetch_add(1, Ordering::SeqCst);
                let is_taken = header("if-none-match").is_some()
                    && objects.contains_key(&key)
                    && !self.ignores_conditions;
                let fault = self.faults.lock().unwrap().pop_front();
                match fault.unwrap_or(Fault::Well) {
                    Fault::Refused(status) => (status, Vec::new()),
                    Fault::StolenFrom => {
                        objects.insert(key, b"of another".to_vec());
                        (412, Vec::new())
                    }
                    _ if is_taken => (412, Vec::new()),
                    fault => {
                        objects.insert(key, body);
                        match fault {
                            Fault::StoredBut(status) => (status, Vec::new()),
                            Fault::StoredAndSilent => {
                                drop(objects);
                                std::thread::sleep(Duration::from_secs(5));
                                return None;
                            }
                            _ => (200, Vec::new()),
                        }
                    }
                }
            }
            // Nothing but floors is listed here, and there are none.
            "get" if key.contains("list-type=2") => (
                200,
                b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>".to_vec(),
            ),
            "get" | "head" => match objects.get(&key) {
                None => (404, Vec::new()),
                Some(content) => match header("range") {
                    None => (200, content.clone()),
                    Some(range) => {
                        let (from, to) = range
                            .strip_prefix("bytes=")
                            .unwrap()
                            .split_once('-')
                            .unwrap();
                        let all = content.len();
                        let span = match from {
                            "" => all.saturating_sub(to.parse().unwrap())..all,
                            from => {
                                let end = to.parse().map_or(all, |to: usize| all.min(to + 1));
                                from.parse().unwrap()..end
                            }
                        };
                        let part = content[span.clone()].to_vec();
                        let head = format!(
                            "HTTP/1.1 206 Partial\r\nContent-Range: bytes {}-{}/{all}\r\n",
                            span.start,
                            span.end - 1
                        );
                        return send(connection, &head, &part, false);
                    }
                },
            },
            // Deletes, several at once.
            "post" => {
                let text = String::from_utf8_lossy(&body).into_owned();
                for piece in text.split("<Key>").skip(1) {
                    let key = piece.split("</Key>").next().unwrap();
                    objects.remove(&format!("/bucket/{key}"));
                }
                (200, b"<DeleteResult></DeleteResult>".to_vec())
            }
            other => panic!("{other}"),
        };
        let head = format!("HTTP/1.1 {status} So\r\n");
        send(connection, &head, &content, method == "head")
    }
}

fn send(mut connection: &TcpStream, head: &str, content: &[u8], is_head: bool) -> Option<()> {
    let head = format!(
        "{head}Content-Length: {}\r\nETag: \"tag\"\r\nLast-Modified: Wed, 01 Apr 2026 02:47:00 GMT\r\n\r\n",
        content.len()
    );
    connection.write_all(head.as_bytes()).ok()?;
    if !is_head {
        connection.write_all(content).ok()?;
    }
    Some(())
}

fn create(bucket: &Bucket, text: &'static str) -> io::Result<()> {
    let path = bucket.url().join("name");
    bucket.create(&path, PutPayload::from_static(text.as_bytes()))
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn a_store_that_ignores_the_condition_is_refused_with_the_reason() {
    let spool = tempfile::tempdir().unwrap();
    let store = Arc::new(Store {
        ignores_conditions: true,
        ..Store::default()
    });
    let root = Root::bucket(
        Path::new("s3://bucket/archive"),
        local_s3::variables(&store.serve()),
        &S3Config::default(),
        spool.path(),
    )
    .unwrap();
    let error = Compactor::open(&root, &crate::Compaction::default())
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(error.contains("ignores If-None-Match"), "{error}");
    assert!(error.contains("s3://bucket/archive"), "{error}");
    assert!(
        store.objects.lock().unwrap().is_empty(),
        "the probe tidies up"
    );
}

#[test]
fn a_store_that_honours_it_is_asked_once() {
    let spool = tempfile::tempdir().unwrap();
    let store = Store::of(&[]);
    let bucket = store.bucket(spool.path());
    bucket.probe().unwrap();
    bucket.probe().unwrap();
    assert_eq!(store.puts.load(Ordering::SeqCst), 2);
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_told() {
    let spool = tempfile::tempdir().unwrap();
    let bucket = |faults: &[Fault]| Store::of(faults).bucket(spool.path());
    for passing in [500, 503, 429, 409] {
        let bucket = bucket(&[Fault::Refused(passing), Fault::Refused(passing)]);
        create(&bucket, "ours").unwrap();
        assert_eq!(bucket.text(&bucket.url().join("name")).unwrap(), "ours");
    }
    let refused = bucket(&[Fault::Refused(403)]);
    assert_eq!(kind(create(&refused, "ours")), ErrorKind::PermissionDenied);
    let gone = bucket(&[Fault::Refused(404)]);
    assert_eq!(kind(create(&gone, "ours")), ErrorKind::NotFound);
}

#[test]
fn the_patience_ends() {
    let spool = tempfile::tempdir().unwrap();
    let store = Store::of(&[Fault::Refused(503); 1000]);
    let bucket = store.bucket(spool.path());
    let since = Instant::now();
    let error = create(&bucket, "ours").unwrap_err();
    assert!(
        is_passing(&error) && error.to_string().contains("503"),
        "{error}"
    );
    assert!((Duration::from_secs(1)..Duration::from_secs(8)).contains(&since.elapsed()));
    // A name that others fight for without an end is not known to be taken.
    let store = Store::of(&[Fault::Refused(409); 1000]);
    let error = create(&store.bucket(spool.path()), "ours").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy, "{error}");
}

/// The answer is lost, the request is not: what lies there is ours, and nobody else may take it for theirs.
#[test]
fn a_put_that_arrived_without_our_knowing_is_ours() {
    let spool = tempfile::tempdir().unwrap();
    for fault in [
        Fault::StoredBut(500),
        Fault::StoredBut(503),
        Fault::StoredAndSilent,
    ] {
        let store = Store::of(&[fault]);
        let bucket = store.bucket(spool.path());
        create(&bucket, "ours").unwrap();
        assert_eq!(store.puts.load(Ordering::SeqCst), 2, "{fault:?}");
        assert_eq!(kind(create(&bucket, "theirs")), ErrorKind::AlreadyExists);
        // The same content by another one, who was never in doubt: taken is taken.
        assert_eq!(kind(create(&bucket, "ours")), ErrorKind::AlreadyExists);
    }
}

#[test]
fn a_name_that_another_took_in_between_is_lost() {
    let spool = tempfile::tempdir().unwrap();
    for faults in [
        &[Fault::StolenFrom][..],
        &[Fault::Refused(503), Fault::StolenFrom],
        &[Fault::Refused(409), Fault::StolenFrom],
    ] {
        let bucket = Store::of(faults).bucket(spool.path());
        assert_eq!(kind(create(&bucket, "ours")), ErrorKind::AlreadyExists);
        let found = bucket.text(&bucket.url().join("name")).unwrap();
        assert_eq!(found, "of another");
    }
}

#[test]
fn a_file_that_arrived_without_our_knowing_is_written_once() {
    let spool = tempfile::tempdir().unwrap();
    let store = Store::of(&[
        // The probe's two, the place, and the file.
        Fault::Well,
        Fault::Well,
        Fault::StoredBut(500),
        Fault::StoredAndSilent,
    ]);
    let root = Root::bucket(
        Path::new("s3://bucket/archive"),
        local_s3::variables(&store.serve()),
        &S3Config {
            request_timeout_ms: 1_000,
            ..S3Config::default()
        },
        spool.path(),
    )
    .unwrap();
    let Written::File { path, footer, .. } = write_once(&root, &collection(0, &[0, 1, 2])) else {
        panic!("nobody else is there");
    };
    assert_eq!(crate::Footer::read(&root, &path).unwrap(), footer);
    let Written::Lost { winner, .. } = write_once(&root, &collection(0, &[0, 1])) else {
        panic!("published although the range was taken");
    };
    assert_eq!(winner, footer);
    assert_eq!(
        std::fs::read_dir(spool.path()).unwrap().count(),
        0,
        "drafts are removed"
    );
}

#[test]
fn what_is_no_bucket_is_told_with_what_to_do() {
    let spool = tempfile::tempdir().unwrap();
    let connect = |url: &str, variables: Vec<(String, String)>| {
        Bucket::connect(
            Path::new(url),
            variables,
            &S3Config::default(),
            spool.path(),
        )
        .map(drop)
        .unwrap_err()
        .to_string()
    };
    let error = connect("s3://", Vec::new());
    assert!(error.contains("s3://bucket/prefix"), "{error}");
    let variables = vec![(
        "AWS_ENDPOINT_URL".to_owned(),
        "http://127.0.0.1:9".to_owned(),
    )];
    let error = connect("s3://bucket", variables);
    assert!(error.contains("AWS_ALLOW_HTTP=true"), "{error}");
}

#[test]
fn a_client_for_https_can_be_made() {
    let spool = tempfile::tempdir().unwrap();
    let root = Root::bucket(
        Path::new("s3://bucket/archive/"),
        [("AWS_REGION".to_owned(), "eu-central-1".to_owned())],
        &S3Config::default(),
        spool.path(),
    )
    .unwrap();
    assert_eq!(root.to_string(), "s3://bucket/archive");
    assert!(root.object_store().is_ok());
}
