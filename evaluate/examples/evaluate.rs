//! `cargo run --release -p evaluate --example evaluate -- EVENTS... [--labels FILE]... [--out FILE] [--per-event FILE]`:
//! the evaluation without the binary, for whoever tunes a signal.

use std::path::PathBuf;
use std::process::ExitCode;

use evaluate::{Options, Told};

fn main() -> ExitCode {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--labels" => options.labels.extend(arguments.next().map(PathBuf::from)),
            "--out" => options.out = arguments.next().map(PathBuf::from),
            "--per-event" => options.per_event = arguments.next().map(PathBuf::from),
            _ => options.events.push(PathBuf::from(argument)),
        }
    }
    let config = session::Config::default();
    let told = evaluate::run(&options, &config, &mut |told| {
        if let Told::Refused { place, reason } = told {
            eprintln!("{place}: refused: {reason}");
        }
    });
    match told {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
