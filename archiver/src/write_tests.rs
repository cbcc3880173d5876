//! How columns stand in a file.

#![allow(clippy::unwrap_used, clippy::panic)]

use parquet::basic::Encoding;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;

use super::*;
use crate::samples::{collection, write_once};

#[test]
fn columns_are_stored_as_they_behave() {
    let root = tempfile::tempdir().unwrap();
    let offsets: Vec<i64> = (0..3000).collect();
    let Written::File {
        path, file_bytes, ..
    } = write_once(root.path(), &collection(0, &offsets))
    else {
        panic!("nobody else is there");
    };
    let options = ReadOptionsBuilder::new()
        .with_reader_properties(
            ReaderProperties::builder()
                .set_read_bloom_filter(true)
                .build(),
        )
        .with_page_index()
        .build();
    let reader =
        SerializedFileReader::new_with_options(File::open(&path).unwrap(), options).unwrap();
    let group = reader.metadata().row_group(0);
    let mut checked = 0;
    for (at, column) in Table::Events.columns().iter().enumerate() {
        let chunk = group.column(at);
        assert!(
            matches!(chunk.compression(), Compression::ZSTD(_)),
            "{}",
            column.name
        );
        let is_filled = chunk
            .statistics()
            .is_none_or(|statistics| statistics.null_count_opt() != Some(3000));
        let dictionary = chunk.dictionary_page_offset().is_some();
        match column.storage {
            Storage::Repeating | Storage::Sought => {
                assert!(dictionary || !is_filled, "{}", column.name)
            }
            Storage::Distinct | Storage::Rising | Storage::Wide => {
                assert!(!dictionary, "{}", column.name)
            }
        }
        if column.storage == Storage::Rising {
            assert!(
                chunk
                    .encodings()
                    .any(|encoding| encoding == Encoding::DELTA_BINARY_PACKED),
                "{}",
                column.name
            );
        }
        assert_eq!(
            chunk.statistics().is_none(),
            column.storage == Storage::Wide,
            "{}",
            column.name
        );
        assert_eq!(
            chunk.bloom_filter_offset().is_some(),
            column.storage == Storage::Sought,
            "{}",
            column.name
        );
        checked += 1;
    }
    assert_eq!(checked, group.num_columns());
    let workflow = Table::Events
        .columns()
        .iter()
        .position(|column| column.name == crate::WORKFLOW_ID)
        .unwrap();
    let groups = reader.get_row_group(0).unwrap();
    let bloom = groups.get_column_bloom_filter(workflow).unwrap();
    assert!((0..7).all(|number| bloom.check(&format!("workflow-{number}").as_str())));
    let false_hits = (0..1000)
        .filter(|number| bloom.check(&format!("other-{number}").as_str()))
        .count();
    assert!(false_hits < 50, "{false_hits} of 1000");
    let bloom_bytes = group.column(workflow).bloom_filter_length().unwrap();
    assert!(
        bloom_bytes < 200,
        "seven workflows need no {bloom_bytes} bytes"
    );
    assert!(
        file_bytes < 100_000,
        "{file_bytes} bytes for 3000 short events"
    );
}

#[test]
fn a_full_disk_is_a_passing_trouble() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let file = File::options().write(true).open(full).unwrap();
    let collection = collection(0, &[0, 1, 2]);
    let footer = footer_of(&collection).unwrap();
    let error = encode(&file, &collection, &footer, 3).unwrap_err();
    let error = encode_error(Table::Events, full, error);
    assert!(error.is_passing(), "{error}");
}
