//! Prints the confusion table of the constructed corpus and writes `docs/signals/quality.md`. With `complaints` it
//! tells what is not as the stories say, with `order` what ends otherwise in another order of arrival, and with
//! `tell FAMILY/TITLE/VARIANT` the events of one workflow; then nothing is written. A signal's name narrows it down.

use std::path::Path;

use corpus::files::families;
use corpus::order::{Astray, differing};
use corpus::table::{Corpus, NOT_LANDED, ORDERS, SEED, VARIANTS, page};

fn main() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let corpus = Corpus::of(&families(&root.join("scenarios/signals"))?, SEED, VARIANTS)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("complaints") => {
            let of = arguments.get(1);
            let lines = corpus.complaints(|signal| of.is_none_or(|of| of == signal));
            println!("{}", lines.join("\n"));
            return Ok(());
        }
        Some("order") => {
            let of = arguments.get(1);
            for (told, _) in &corpus.judged {
                for astray in [Astray::Jitter, Astray::Any] {
                    for order in 0..ORDERS {
                        let differing = differing(told, astray, order);
                        for (signal, line) in differing
                            .iter()
                            .filter(|one| of.is_none_or(|of| *of == one.0))
                        {
                            let (id, varied) = (&told.workflow_id, told.varied.join(", "));
                            println!("{id} ({varied}; {astray:?} {order}): {signal}: {line}");
                        }
                    }
                }
            }
            return Ok(());
        }
        Some("tell") => {
            let id = arguments.get(1).map_or("", String::as_str);
            for (told, judged) in corpus
                .judged
                .iter()
                .filter(|(told, _)| told.workflow_id == id)
            {
                for one in &told.deliveries {
                    println!("{}", schemas::json::event_to_string(&one.event.borrowed()));
                }
                for one in &judged.revisions {
                    println!(
                        "{} {} {} {:?} at {:?}: {}",
                        one.signal,
                        one.severity,
                        one.status,
                        one.kinds,
                        one.proved_by,
                        one.sentence
                    );
                }
            }
            return Ok(());
        }
        _ => {}
    }
    let disorder = corpus.disorder(ORDERS);
    let page = page(&corpus, &disorder, &NOT_LANDED);
    print!("{page}");
    let path = root.join("docs/signals/quality.md");
    std::fs::create_dir_all(root.join("docs/signals")).map_err(|error| error.to_string())?;
    std::fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))
}
