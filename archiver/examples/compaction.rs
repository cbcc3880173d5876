//! What compaction costs and what it saves: `cargo run --release -p archiver --example compaction ROOT [TABLE]`.
//!
//! Compacts all that there is in the archive below ROOT (give it a copy), then prints rows per second, CPU and peak
//! memory, and the bytes per row of each column in the raw files and in the compacted ones, as their footers tell.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use archiver::compact::{Compactor, Outcome, When};
use archiver::{Compaction, Table, listing};
use parquet::file::reader::{FileReader, SerializedFileReader};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().expect("give the root of an archive"));
    let table = arguments
        .next()
        .map_or(Table::Events, |name| Table::from_name(&name).unwrap());
    let mut config = Compaction::default();
    if let Ok(text) = std::env::var("SORT_MIB") {
        config.sort_bytes_max = text.parse::<usize>().unwrap() << 20;
    }
    if let Ok(text) = std::env::var("ZSTD") {
        config.zstd_level = text.parse().unwrap();
    }
    let compactor = Compactor::open(&root, &config).unwrap();
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = memory_mib("VmRSS:");
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let (mut files, mut inputs, mut rows, mut resent, mut bytes) = (0, 0, 0, 0, (0, 0));
    while let Outcome::Done(done) = compactor
        .compact(table, When::Now, &mut |_| Ok(()))
        .unwrap()
    {
        files += 1;
        inputs += done.footer.inputs;
        rows += done.footer.rows;
        resent += done.footer.resent;
        bytes.0 += done.input_bytes;
        bytes.1 += done.file_bytes;
    }
    if files > 0 {
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        println!(
            "{inputs} raw files -> {files} compacted, {rows} rows and {resent} re-sends, {} -> {} bytes, {:.0} rows/s, \
             {:.2} µs CPU/row, peak {} MiB after {before}",
            bytes.0,
            bytes.1,
            (rows + resent) as f64 / seconds,
            cpu * 1e6 / (rows + resent) as f64,
            memory_mib("VmHWM:"),
        );
    }
    let raw = listing::files(&root, table).unwrap();
    let compacted = listing::compacted_files(&root, table).unwrap();
    let raw = column_bytes(raw.iter().map(|file| file.path.as_path()));
    let compacted = column_bytes(compacted.iter().map(|file| file.path.as_path()));
    println!("| column | raw | compacted |\n|---|---|---|");
    for column in table.columns() {
        let of =
            |sizes: &Sizes| per_row(sizes.columns.get(column.name).copied().unwrap_or(0), sizes);
        println!(
            "| `{}` | {:.2} | {:.2} |",
            column.name,
            of(&raw),
            of(&compacted)
        );
    }
    let rest = |sizes: &Sizes| {
        per_row(
            sizes.file_bytes - sizes.columns.values().sum::<u64>(),
            sizes,
        )
    };
    println!(
        "| footers, indexes, filters | {:.2} | {:.2} |",
        rest(&raw),
        rest(&compacted)
    );
    let all = |sizes: &Sizes| per_row(sizes.file_bytes, sizes);
    println!("| all | {:.2} | {:.2} |", all(&raw), all(&compacted));
    println!("{} rows raw, {} rows compacted", raw.rows, compacted.rows);
}

#[derive(Default)]
struct Sizes {
    rows: u64,
    file_bytes: u64,
    columns: BTreeMap<String, u64>,
}

fn per_row(bytes: u64, sizes: &Sizes) -> f64 {
    bytes as f64 / sizes.rows.max(1) as f64
}

fn column_bytes<'a>(paths: impl Iterator<Item = &'a Path>) -> Sizes {
    let mut sizes = Sizes::default();
    for path in paths {
        sizes.file_bytes += std::fs::metadata(path).unwrap().len();
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        for group in reader.metadata().row_groups() {
            sizes.rows += group.num_rows() as u64;
            for chunk in group.columns() {
                let name = chunk.column_path().parts()[0].clone();
                *sizes.columns.entry(name).or_default() += chunk.compressed_size() as u64;
            }
        }
    }
    sizes
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or_default()
    };
    // Fields 14 and 15 of proc(5); what stands before them ends with the name in brackets.
    (ticks(11) + ticks(12)) / 100.0
}

fn memory_mib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or_default()
        / 1024
}
