//! Files that are damaged or gone: the error names the file.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::world::{World, complaint, event, number};

fn overwrite(path: &Path, from: u64, bytes: usize) {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    let mut old = vec![0; bytes];
    file.read_exact(&mut old).unwrap();
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(&old.iter().map(|byte| !byte).collect::<Vec<_>>())
        .unwrap();
}

fn three_files(world: &World) -> [std::path::PathBuf; 3] {
    [0, 1, 2].map(|file| {
        let events: Vec<_> = (0..200).map(|row| event("w", file * 200 + row)).collect();
        world.events(0, &events)
    })
}

#[tokio::test]
async fn a_damaged_footer_is_told_by_name() {
    let world = World::empty();
    let [_, second, _] = three_files(&world);
    let size = std::fs::metadata(&second).unwrap().len();
    overwrite(&second, size - 8, 8);
    let told = complaint(&world.archive(), "select count(*) from events").await;
    assert!(
        told.contains(second.to_str().unwrap()) && told.contains("archive verify"),
        "{told}"
    );
}

#[tokio::test]
async fn a_cut_file_is_told_by_name() {
    let world = World::empty();
    let [first, _, _] = three_files(&world);
    OpenOptions::new()
        .write(true)
        .open(&first)
        .unwrap()
        .set_len(100)
        .unwrap();
    let told = complaint(&world.archive(), "select * from events").await;
    assert!(told.contains(first.to_str().unwrap()), "{told}");
    OpenOptions::new()
        .write(true)
        .open(&first)
        .unwrap()
        .set_len(0)
        .unwrap();
    let told = complaint(&world.archive(), "select * from events").await;
    assert!(told.contains(first.to_str().unwrap()), "{told}");
}

#[tokio::test]
async fn a_damaged_page_is_told_by_name() {
    let world = World::empty();
    let [_, _, third] = three_files(&world);
    let footer =
        ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&third).unwrap()).unwrap();
    let columns = footer.metadata().row_group(0).columns();
    let column = columns
        .iter()
        .find(|column| column.column_path().string() == "event_id")
        .unwrap();
    overwrite(
        &third,
        u64::try_from(column.data_page_offset()).unwrap(),
        64,
    );
    let archive = world.archive();
    let told = complaint(&archive, "select event_id from events").await;
    assert!(told.contains(third.to_str().unwrap()), "{told}");
    // What does not touch the column is answered.
    assert_eq!(number(&archive, "select count(*) from events").await, 600);
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_by_name() {
    use futures::StreamExt;
    let world = World::empty();
    let [first, second, _] = three_files(&world);
    let archive = world.archive();
    // Footers and statistics are known from here on.
    assert_eq!(number(&archive, "select count(*) from events").await, 600);
    let mut rows = archive.sql("select content from events").await.unwrap();
    std::fs::remove_file(&second).unwrap();
    let (mut told, mut read) = (None, 0);
    while let Some(batch) = rows.next().await {
        match batch {
            Ok(batch) => read += batch.num_rows(),
            Err(error) => {
                told = Some(error.to_string());
                break;
            }
        }
    }
    // A query that was quicker than the deletion has all rows; never fewer without a word.
    match told {
        Some(told) => assert!(
            told.contains(second.to_str().unwrap()) && told.contains("is gone"),
            "{told}"
        ),
        None => assert_eq!(read, 600),
    }
    // A query that begins now sees what is there.
    std::fs::remove_file(&first).unwrap();
    assert_eq!(number(&archive, "select count(*) from events").await, 200);
}

#[tokio::test]
async fn a_folder_that_cannot_be_listed_is_told() {
    let world = World::empty();
    three_files(&world);
    let table = world.root().join("raw/events");
    std::fs::remove_dir_all(&table).unwrap();
    // A loop of links is a folder that nobody can list, whoever asks.
    std::os::unix::fs::symlink(&table, &table).unwrap();
    let told = complaint(&world.archive(), "select count(*) from events").await;
    assert!(
        told.contains("cannot be listed") && told.contains(world.root().to_str().unwrap()),
        "{told}"
    );
}
