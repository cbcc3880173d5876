//! The archive in an S3 bucket: all that holds for a folder holds there, also when the server goes away.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use archiver::compact::{Compactor, Outcome, When};
use archiver::{Compaction, Config, Root, S3Config, Table, listing, retain, snapshot, verify};
use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use local_s3::{Server, shared_test_server};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::stage::{Spot, Stage, wait_until};

/// The rows that a reader sees: each spot, as often as it is there.
fn seen(root: &Root, table: Table) -> Vec<Spot> {
    let snapshot = snapshot(root, table).unwrap();
    let compacted = snapshot.compacted.iter().map(|file| file.open().unwrap());
    let raw = snapshot.raw.iter().map(|file| file.open().unwrap());
    let mut spots = Vec::new();
    for file in compacted.chain(raw) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let partitions = batch[archiver::KAFKA_PARTITION].as_primitive::<Int32Type>();
            let offsets = batch[archiver::KAFKA_OFFSET].as_primitive::<Int64Type>();
            let rows = partitions.values().iter().zip(offsets.values());
            spots.extend(rows.map(|(partition, offset)| (*partition, *offset)));
        }
    }
    spots.sort_unstable();
    spots
}

fn archived(stage: &Stage) -> u64 {
    let files = listing::files(&stage.root, Table::Events).unwrap();
    files.iter().map(|file| file.footer().unwrap().rows).sum()
}

fn check_verified(root: &Root) -> verify::Report {
    let report = verify::verify(root, &mut |_| Ok(())).unwrap();
    assert_eq!(report.findings, []);
    report
}

fn compact_all(compactor: &Compactor) -> usize {
    let mut files = 0;
    loop {
        match compactor.compact(Table::Events, When::Now, &mut |_| Ok(())) {
            Ok(Outcome::Done(_)) => files += 1,
            Ok(Outcome::Nothing) => return files,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn from_kafka_to_the_last_date_that_is_kept() {
    let stage = Stage::in_bucket(shared_test_server());
    let mut sender = stage.producer();
    let topic = stage.topic(Table::Events);
    for round in 0..4 {
        sender.events(topic, round * 300..round * 300 + 300);
        stage.archive().unwrap();
    }
    stage.check();
    let committed = stage.committed(Table::Events);
    assert_eq!(seen(&stage.root, Table::Events), committed);
    let raw = stage.files(Table::Events);
    let report = check_verified(&stage.root);
    assert_eq!(report.tables[&Table::Events].raw_files, raw as u64);

    let config = Compaction {
        inputs_max: raw / 2,
        inputs_kept_ms: 0,
        // Parts that are merged again.
        sort_bytes_max: 64 * 1024,
        ..Compaction::default()
    };
    let compactor = Compactor::open(&stage.root, &config).unwrap();
    assert_eq!(compact_all(&compactor), 2);
    assert_eq!(seen(&stage.root, Table::Events), committed);
    assert_eq!(
        check_verified(&stage.root).tables[&Table::Events].compared,
        2
    );

    let deleted = compactor.delete_inputs(Table::Events, i64::MAX).unwrap();
    assert_eq!(
        deleted.files as usize,
        raw - 3,
        "the newest of each partition stays"
    );
    assert_eq!(seen(&stage.root, Table::Events), committed);
    check_verified(&stage.root);

    // It goes on where it was.
    sender.events(topic, 1200..1500);
    stage.archive().unwrap();
    let committed = stage.committed(Table::Events);
    assert_eq!(committed.len(), 1500);
    assert_eq!(seen(&stage.root, Table::Events), committed);
    compact_all(&compactor);

    // What may go goes; what says where the archive goes on stays.
    let plan = retain::plan(&stage.root, Table::Events, "9999-01-01").unwrap();
    assert_eq!((plan.compacted.len(), plan.newest_kept), (2, 4));
    assert!(plan.bytes > 0);
    retain::apply(&stage.root, &plan).unwrap();
    check_verified(&stage.root);
    assert_eq!(seen(&stage.root, Table::Events).len(), 300);
    assert_eq!(
        std::fs::read_dir(stage.dir.path())
            .unwrap()
            .filter(|entry| !entry
                .as_ref()
                .unwrap()
                .path()
                .to_str()
                .unwrap()
                .ends_with(".compactor"))
            .count(),
        0,
        "nothing stays on this machine"
    );
}

#[test]
fn what_is_missing_damaged_or_copied_is_found() {
    let server = shared_test_server();
    let stage = Stage::in_bucket(server);
    let mut sender = stage.producer();
    for round in 0..3 {
        sender.events(stage.topic(Table::Events), round * 90..round * 90 + 90);
        stage.archive().unwrap();
    }
    check_verified(&stage.root);
    let bucket = stage.root.path().iter().nth(1).unwrap().to_str().unwrap();
    let on_disk = |path: &Path| {
        let key = path.strip_prefix(format!("s3://{bucket}")).unwrap();
        server.bucket_dir(bucket).join(key)
    };
    let files = listing::files(&stage.root, Table::Events).unwrap();
    let of = |partition: i32, number: usize| {
        let mut files = files.iter().filter(|file| file.partition == partition);
        on_disk(&files.nth(number).unwrap().path)
    };
    std::fs::remove_file(of(0, 1)).unwrap();
    let mut bytes = std::fs::read(of(1, 1)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(of(1, 1), bytes).unwrap();
    let copy = of(2, 1).with_file_name("copy.parquet");
    std::fs::copy(of(2, 1), copy).unwrap();
    // A new client, which remembers no footers.
    let root = Root::bucket(
        stage.root.path(),
        server.variables(),
        &S3Config::default(),
        stage.dir.path(),
    )
    .unwrap();
    let report = verify::verify(&root, &mut |_| Ok(())).unwrap();
    let kinds: BTreeSet<_> = report.findings.iter().map(|found| found.kind).collect();
    use verify::Kind;
    assert_eq!(
        kinds,
        BTreeSet::from([Kind::Deleted, Kind::Damaged, Kind::Copied, Kind::Hole]),
        "{:?}",
        report.findings
    );
}

#[test]
fn two_that_do_not_know_of_each_other_archive_each_record_once() {
    let stage = Stage::in_bucket(shared_test_server());
    let configs = ["left", "right"].map(|side| Config {
        group: format!("{}-{side}", stage.config.group),
        file_age_max_ms: 50,
        ..stage.config.clone()
    });
    let archivers = configs.each_ref().map(|config| stage.start(config));
    let mut sender = stage.producer();
    for round in 0..60 {
        sender.events(stage.topic(Table::Events), round * 30..round * 30 + 30);
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_until("all is archived", || archived(&stage) >= 1800);
    let summaries = archivers.map(|archiver| archiver.stop().unwrap());
    stage.check();
    let lost: u64 = summaries.iter().map(|summary| summary.races_lost).sum();
    let rows: u64 = summaries
        .iter()
        .filter_map(|summary| summary.rows.get(&Table::Events))
        .sum();
    assert_eq!(rows, 1800);
    assert!(lost > 0, "there was no race");
    println!("{lost} races lost, {} files", stage.files(Table::Events));
}

#[test]
fn of_several_compactors_one_wins_each_number() {
    let stage = Stage::in_bucket(shared_test_server());
    let mut sender = stage.producer();
    sender.events(stage.topic(Table::Events), 0..300);
    stage.archive().unwrap();
    let compactors = 4;
    let start = std::sync::Barrier::new(compactors);
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..compactors)
            .map(|number| {
                let (stage, start) = (&stage, &start);
                scope.spawn(move || {
                    // As on another machine: nothing but the bucket is shared.
                    let root = Root::bucket(
                        stage.root.path(),
                        shared_test_server().variables(),
                        &S3Config::default(),
                        &stage.dir.path().join(number.to_string()),
                    );
                    let compactor = Compactor::open(root.unwrap(), &Compaction::default()).unwrap();
                    start.wait();
                    let outcome = compactor.compact(Table::Events, When::Now, &mut |_| Ok(()));
                    matches!(outcome.unwrap(), Outcome::Done(_))
                })
            })
            .collect();
        let done = threads.into_iter().map(|thread| thread.join().unwrap());
        done.filter(|done| *done).count()
    });
    assert_eq!(done, 1);
    assert_eq!(
        seen(&stage.root, Table::Events),
        stage.committed(Table::Events)
    );
    check_verified(&stage.root);
}

#[test]
fn a_server_that_is_killed_again_and_again_costs_time_and_nothing_else() {
    let mut server = Server::start().unwrap();
    let stage = Stage::in_bucket(&server);
    let config = Config {
        file_age_max_ms: 30,
        ..stage.config.clone()
    };
    let archiver = stage.start(&config);
    let mut sender = stage.producer();
    let mut sent = 0;
    for round in 0..6_u64 {
        for _ in 0..10 {
            sender.events(stage.topic(Table::Events), sent..sent + 60);
            sent += 60;
            std::thread::sleep(Duration::from_millis(30));
        }
        // In the middle of whatever it does: each round at another moment.
        std::thread::sleep(Duration::from_millis(13 * round));
        server.kill();
        sender.events(stage.topic(Table::Events), sent..sent + 60);
        sent += 60;
        std::thread::sleep(Duration::from_millis(500 + 200 * round));
        assert!(!archiver.is_over(), "it waits");
        server.restart().unwrap();
    }
    wait_until("all is archived", || archived(&stage) >= sent as u64);
    archiver.stop().unwrap();
    stage.check();
    check_verified(&stage.root);
    assert_eq!(seen(&stage.root, Table::Events).len(), sent);
    println!(
        "6 kills, {sent} records, {} files",
        stage.files(Table::Events)
    );
}

#[test]
fn a_server_that_stays_away_ends_the_run_and_the_next_one_has_everything() {
    let mut server = Server::start().unwrap();
    let mut stage = Stage::in_bucket(&server);
    let settings = S3Config {
        retry_max_ms: 300,
        ..S3Config::default()
    };
    let patient = stage.root.clone();
    stage.root = Root::bucket(
        patient.path(),
        server.variables(),
        &settings,
        stage.dir.path(),
    )
    .unwrap();
    let config = Config {
        write_retry_max_ms: 500,
        ..stage.config.clone()
    };
    let archiver = stage.start(&config);
    let mut sender = stage.producer();
    sender.events(stage.topic(Table::Events), 0..90);
    wait_until("the first records are archived", || archived(&stage) == 90);
    server.kill();
    sender.events(stage.topic(Table::Events), 90..180);
    wait_until("it gives up", || archiver.is_over());
    let error = archiver.stop().unwrap_err().to_string();
    assert!(error.contains("s3://"), "{error}");
    server.restart().unwrap();
    stage.archive().unwrap();
    assert_eq!(archived(&stage), 180);
    stage.check();
}
