//! Compaction beside everything else: it goes on whatever happens to the folder, and deletes only when it may.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::compact::run;

fn wait_until(what: &str, mut happens: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(180);
    while !happens() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_due_is_compacted_and_trouble_with_the_folder_is_waited_for() {
    let mut world = World::new();
    world.config.look_every_ms = 10;
    world.config.age_max_ms = 0;
    world.config.delete_inputs = true;
    world.publish(0, 0, &[1]);
    world.publish(0, 0, &[2]);
    let stop = CancellationToken::new();
    let summary = std::thread::scope(|scope| {
        let (config, root) = (world.config.clone(), world.root().to_owned());
        let service = {
            let stop = stop.clone();
            scope.spawn(move || run(&config, &root, &stop))
        };
        let has_files = |compacted: usize, raw: u64| {
            world.snapshot().compacted.len() == compacted
                && world.verify().tables[&crate::Table::Events].raw_files == raw
        };
        wait_until(
            "the inputs are compacted and all but the newest deleted",
            || has_files(1, 1),
        );
        // A folder that is no folder any more, until it is mended.
        let temporary = world.root().join(".tmp");
        let aside = world.root().join("aside");
        std::fs::rename(&temporary, &aside).unwrap();
        std::fs::write(&temporary, "").unwrap();
        std::thread::sleep(Duration::from_millis(100));
        std::fs::remove_file(&temporary).unwrap();
        std::fs::rename(&aside, &temporary).unwrap();
        world.publish(0, 0, &[3]);
        wait_until("it goes on", || has_files(2, 1));
        stop.cancel();
        service.join().unwrap().unwrap()
    });
    assert_eq!(
        (summary.files, summary.rows, summary.inputs_deleted),
        (2, 3, 2)
    );
    assert_eq!(world.rows().len(), 3);
    world.check();
}

#[test]
fn raw_files_stay_where_it_is_said_that_they_are_to() {
    let mut world = World::new();
    world.config.look_every_ms = 10;
    world.config.age_max_ms = 0;
    world.config.delete_inputs = false;
    world.publish(0, 0, &[1]);
    world.publish(0, 0, &[2]);
    let stop = CancellationToken::new();
    std::thread::scope(|scope| {
        let (config, root) = (world.config.clone(), world.root().to_owned());
        let service = {
            let stop = stop.clone();
            scope.spawn(move || run(&config, &root, &stop))
        };
        wait_until("the inputs are compacted", || {
            !world.snapshot().compacted.is_empty()
        });
        std::thread::sleep(Duration::from_millis(100));
        stop.cancel();
        service.join().unwrap().unwrap();
    });
    assert_eq!(world.verify().tables[&crate::Table::Events].raw_files, 2);
}
