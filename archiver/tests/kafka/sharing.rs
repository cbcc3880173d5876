//! Several archivers on one root: in one group, and against all advice in two.

use archiver::{Config, Table};

use crate::stage::{PARTITIONS, Stage, wait_until};

fn archived(stage: &Stage) -> usize {
    archiver::listing::files(stage.root(), Table::Events)
        .unwrap()
        .iter()
        .map(|file| file.footer().unwrap().rows as usize)
        .sum()
}

#[test]
fn two_that_do_not_know_of_each_other_archive_each_record_once() {
    let stage = Stage::new();
    // Two groups: both are given every partition, and race for every file.
    let configs = ["left", "right"].map(|side| Config {
        group: format!("{}-{side}", stage.config.group),
        file_age_max_ms: 50,
        ..stage.config.clone()
    });
    let archivers = configs.each_ref().map(|config| stage.start(config));
    let mut sender = stage.producer();
    for round in 0..100 {
        sender.events(stage.topic(Table::Events), round * 30..round * 30 + 30);
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    wait_until("all is archived", || archived(&stage) >= 3000);
    let summaries = archivers.map(|archiver| archiver.stop().unwrap());
    stage.check();
    let lost: u64 = summaries.iter().map(|summary| summary.races_lost).sum();
    let rows: u64 = summaries
        .iter()
        // On a busy machine one of them may win nothing.
        .filter_map(|summary| summary.rows.get(&Table::Events))
        .sum();
    assert_eq!(rows, 3000);
    assert!(lost > 0, "there was no race");
    println!("{lost} races lost, {} files", stage.files(Table::Events));
}

#[test]
fn archivers_of_one_group_come_and_go() {
    let stage = Stage::new();
    let mut sender = stage.producer();
    let mut number = 0;
    let mut send = |count: usize| {
        sender.events(stage.topic(Table::Events), number..number + count);
        number += count;
        number
    };
    let first = stage.start(&stage.config);
    let sent = send(300);
    wait_until("the first one archives", || archived(&stage) >= sent);
    let second = stage.start(&stage.config);
    // Under load while the partitions are shared out.
    for _ in 0..80 {
        send(30);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let sent = send(30);
    wait_until("both archive", || archived(&stage) >= sent);
    let first = first.stop().unwrap();
    let sent = send(300);
    wait_until("the second one goes on alone", || archived(&stage) >= sent);
    let second = second.stop().unwrap();
    stage.check();
    let rows = [&first, &second].map(|summary| summary.rows[&Table::Events]);
    assert_eq!(rows.iter().sum::<u64>(), sent as u64);
    assert!(
        rows[1] > 300,
        "the second one had its share before it was alone: {rows:?}"
    );
    assert_eq!(
        first.races_lost + second.races_lost,
        0,
        "what is handed over is written before it"
    );
    assert!(stage.files(Table::Events) >= PARTITIONS as usize);
}
