# Short names for the commands of every day; `just` alone lists them. README has the commands themselves.

_default:
    @just --list --unsorted

# Formatting and lints, as CI wants them
check:
    cargo fmt --all --check
    rustfmt --check --edition 2024 processor/session/src/signal/*.rs
    cargo clippy --release --workspace --all-targets --locked -- -D warnings

# Everything, the tests on a real Kafka among them; `just test processor` for one package
test package="":
    cargo test --release --locked {{ if package == "" { "--workspace" } else { "--package " + package } }}

# The incident, from Kafka to the story
demo *flags:
    cargo run --release --locked -- demo {{ flags }}

# Figures: the limit, then each part against it (20,000 workflows, about ten minutes)
bench workflows="20000":
    THROUGHLINE_BENCH_WORKFLOWS={{ workflows }} cargo bench --locked --bench pipeline

# SQL beside DuckDB: the same queries over the same files, answers compared
bench-sql events="5000000" rounds="3":
    benches/sql/run {{ events }} {{ rounds }}

# Kill the processor and the archiver under load, and compare with the model
chaos kills="20":
    THROUGHLINE_KILLS={{ kills }} cargo test --release --locked --test kill -- --nocapture

# Renew the digests of Kafka's jars after a change of kafka/pom.xml
relock-kafka:
    kafka/relock

# Licences, sources and unwanted crates (needs cargo-deny)
deny:
    cargo deny --locked check
