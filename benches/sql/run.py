"""The benchmark of SQL beside DuckDB: the same queries over the same files in the same run, one after the other.

    run.py ARCHIVE --ours BINARY [--rounds 3] [--cold] [--only NAME,NAME] [--to FILE.md]

Both engines stay in one process each, with the same number of threads. Timed is everything from the text of a query to its
last row in Arrow's memory. Before the clock counts, each query runs once on both sides and the answers are compared row by
row. In each round both engines answer each query, and who begins changes from round to round. `--cold` begins anew for each
answer, a process on our side and a database in DuckDB, with nothing of the archive in the page cache.

The exit status is 0 where all answers are equal.
"""

import argparse
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb
import pyarrow as pa

HERE = pathlib.Path(__file__).parent
VIEWS = HERE.parent.parent / "query/src/views"
# Each after those that it is made of.
VIEWS_ASKED = ["sessions", "anomalies", "events_once", "workflows", "handoffs", "claims", "handed_claims", "tool_calls",
               "tasks", "errors", "waterfall"]


def main():
    options = arguments()
    queries = read_queries(options.only)
    duck = Duck(options)
    ids = duck.ids()
    queries = {name: (title, fill(ours, ids), fill(theirs, ids)) for name, (title, ours, theirs) in queries.items()}
    ours = Ours(options)
    print(f"{machine()}, {options.threads} threads; DuckDB {duckdb.__version__}; {duck.describe()}", flush=True)

    unequal = compare(queries, ours, duck)
    if options.cold:
        ours.close()
        duck.close()
        times = cold(queries, options)
    else:
        times = warm(queries, ours, duck, options.rounds)
        ours.close()
    table(queries, times, unequal, options)
    sys.exit(1 if unequal else 0)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=pathlib.Path)
    parser.add_argument("--ours", required=True, help="the built benchmark `sql`")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--only", type=lambda text: text.split(","))
    parser.add_argument("--to", type=pathlib.Path, help="a file that the table is written to as well")
    return parser.parse_args()


def read_queries(only):
    """Name to title, text for us and text for DuckDB."""
    queries = {}
    text = (HERE / "queries.sql").read_text()
    for head, body in re.findall(r"^-- (\w+: .*)\n((?:(?!-- \w+: ).*\n?)*)", text, flags=re.M):
        name, title = head.split(": ", 1)
        ours, _, theirs = body.partition("-- duckdb:\n")
        if only is None or name in only:
            queries[name] = (title, statement(ours), in_duckdb(statement(theirs or ours)))
    assert queries, "no such query"
    return queries


def statement(text):
    return text.strip().removesuffix(";")


def fill(text, ids):
    for name, value in ids.items():
        text = text.replace("{" + name + "}", value)
    return text


def in_duckdb(sql):
    """The same query in DuckDB's words."""
    sql = re.sub(r"cast\(((?:\w+\.)?\w*at) as bigint\)", r"epoch_us(\1)", sql)
    # On times with a zone it is ten times as slow; an expert would ask it like this.
    sql = re.sub(r"date_trunc\(('\w+'), (\w+)\)", r"date_trunc(\1, make_timestamp(epoch_us(\2)))", sql)
    sql = sql.replace("first_value(", "first(").replace("last_value(", "last(").replace("* except (", "* exclude (")
    sql = re.sub(r"\bat\b", '"at"', sql)
    # Where its first argument stands in brackets, what is ignored stands there too.
    return re.sub(r"lag\((\w+)\) ignore nulls", r"lag(\1 ignore nulls)", sql)


class Ours:
    """Our engine, in a process that stays."""

    def __init__(self, options):
        environment = {**os.environ, "THREADS": str(options.threads)}
        self.process = subprocess.Popen([options.ours, "answer", str(options.archive)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=environment)
        self.folder = tempfile.TemporaryDirectory()
        # Until it has opened the archive.
        self.process.stdout.readline()

    def ask(self, sql, keep=False):
        """Milliseconds, and the rows where they are to be kept."""
        path = os.path.join(self.folder.name, "answer.arrow")
        question = {"sql": sql, "to": path if keep else None}
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process has ended"}
        if "error" in answer:
            raise RuntimeError(f"ours: {answer['error']}\n{sql}")
        if not keep:
            return answer["ms"], None
        with pa.OSFile(path) as file:
            return answer["ms"], pa.ipc.open_stream(file).read_all()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Duck:
    """DuckDB, in this process."""

    def __init__(self, options):
        self.connection = duckdb.connect()
        self.connection.execute(f"set threads = {options.threads}")
        self.connection.execute("set TimeZone = 'UTC'")
        # As ours keeps footers between queries.
        self.connection.execute(f"set parquet_metadata_cache = {not options.cold}")
        self.files = {}
        for table, name in (("events", "events"), ("sessions", "session_history"), ("anomalies", "anomaly_history")):
            self.define(name, options.archive, table)
        for statement_ in (HERE / "duckdb.sql").read_text().split(";\n"):
            if statement_.strip():
                self.connection.execute(statement_)
        for view in VIEWS_ASKED:
            text = re.sub(r"^--.*\n", "", (VIEWS / f"{view}.sql").read_text(), flags=re.M)
            self.connection.execute(f"create or replace view {view} as {in_duckdb(text)}")
        # One that has no answers lying about.
        self.asking = self.connection.cursor()
        self.asking.sql("set TimeZone = 'UTC'")

    def define(self, name, archive, table):
        """A view of a table: the compacted files, or the raw ones where there are no others."""
        compacted = sorted(map(str, archive.glob(f"{table}/date=*/*.parquet")))
        raw = sorted(map(str, archive.glob(f"raw/{table}/date=*/hour=*/*.parquet")))
        files = compacted or raw
        self.files[table] = files
        wanted = {"events": "event_id", "sessions": "revision", "anomalies": "anomaly_id"}[table]
        # A row's own day: that of the folder is the day of the first row of a raw file. Computed in the quick way, too.
        self.connection.execute(
            f"create or replace view {name} as "
            f"select *, cast(make_timestamp(epoch_us(kafka_timestamp)) as date) as date "
            f"from read_parquet({files!r}, hive_partitioning = false) where {wanted} is not null")

    def ids(self):
        """The same ones at each run: of a workflow in the middle of the archive, and an event of it."""
        workflow, event = self.connection.execute(
            "select workflow_id, min(event_id) from events where workflow_id like 'gen-%' group by workflow_id "
            "having count(*) > 30 order by md5(workflow_id) limit 1").fetchone()
        return {"workflow": workflow, "event": event}

    def describe(self):
        sizes = []
        for table, files in self.files.items():
            rows = self.connection.execute(f"select count(*) from read_parquet({files!r})").fetchone()[0]
            size = sum(os.path.getsize(file) for file in files)
            sizes.append(f"{table} {rows:,} rows in {len(files)} files of {size / 2**20:,.0f} MiB together")
        return ", ".join(sizes)

    def ask(self, sql, keep=False):
        started = time.perf_counter()
        rows = self.asking.sql(sql).to_arrow_table()
        ms = (time.perf_counter() - started) * 1e3
        return ms, rows if keep else None

    def close(self):
        self.connection.close()


def compare(queries, ours, duck):
    """The names of the queries whose answers differ; and both engines are warm."""
    unequal = []
    for name, (_, sql, duck_sql) in queries.items():
        left, right = ours.ask(sql, keep=True)[1], duck.ask(duck_sql, keep=True)[1]
        difference = differs(left, right)
        if difference:
            unequal.append(name)
            print(f"{name}: {difference}", file=sys.stderr, flush=True)
    return unequal


def differs(left, right):
    """What is different in two answers, rows and their order; nothing where they are equal."""
    if left.num_rows != right.num_rows:
        return f"{left.num_rows} rows and {right.num_rows}"
    if left.column_names != right.column_names:
        return f"columns {left.column_names} and {right.column_names}"
    rows = [zip(*(plain(column) for column in answer.columns)) for answer in (left, right)]
    for number, (ours, theirs) in enumerate(zip(*rows)):
        if not all(map(equal, ours, theirs)):
            return f"row {number}: {ours} and {theirs}"
    return None


def plain(column):
    """Values that compare: times in microseconds, decimals as numbers."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    return column.to_pylist()


def equal(left, right):
    if isinstance(left, float) and isinstance(right, (int, float)):
        # Sums are of other orders, and our engine interpolates percentiles with six digits of the fraction between two values.
        return math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-12)
    return left == right


def warm(queries, ours, duck, rounds):
    times = {name: ([], []) for name in queries}
    for turn in range(rounds):
        for name, (_, sql, duck_sql) in queries.items():
            sides = [(0, ours, sql), (1, duck, duck_sql)]
            for side, engine, text in sides if turn % 2 == 0 else reversed(sides):
                times[name][side].append(engine.ask(text)[0])
    return times


def cold(queries, options):
    """Begins anew for each answer, with nothing of the files in memory. Definitions of tables and views are not timed."""
    files = list(options.archive.glob("**/*.parquet"))
    times = {name: ([], []) for name in queries}
    for turn in range(options.rounds):
        for name, (_, sql, duck_sql) in queries.items():
            sides = [(0, Ours, sql), (1, Duck, duck_sql)]
            for side, engine, text in sides if turn % 2 == 0 else reversed(sides):
                fresh = engine(options)
                forget(files)
                times[name][side].append(fresh.ask(text)[0])
                fresh.close()
    return times


def forget(files):
    """Takes the files out of the page cache."""
    for path in files:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} cores of {model[1] if model else 'unknown'}"


def table(queries, times, unequal, options):
    lines = ["| query | what it asks | ours, ms | DuckDB, ms | ratio |", "|---|---|---|---|---|"]
    ratios = []
    for name, (title, _, _) in queries.items():
        ours, theirs = (statistics.median(side) for side in times[name])
        ratios.append(ours / theirs)
        told = "answers differ" if name in unequal else f"{ours / theirs:.2f}"
        lines.append(f"| {name} | {title} | {ours:.1f} | {theirs:.1f} | {told} |")
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    over = sum(ratio > 2 for ratio in ratios)
    lines.append(f"| | geometric mean of {len(ratios)}; worst {max(ratios):.2f}, over 2.0: {over} "
                 f"| {sum(statistics.median(t[0]) for t in times.values()):.0f} "
                 f"| {sum(statistics.median(t[1]) for t in times.values()):.0f} | **{mean:.2f}** |")
    print("\n".join(lines))
    if options.to:
        options.to.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
