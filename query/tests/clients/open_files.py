"""Other engines over the compacted tier by a plain glob; any difference from our SQL ends it with an error.

Arguments: root of the archive; our answers over events, sessions and anomalies, a line for each row, its cells between bars.
Run by query/tests/it/open_files.rs.
"""

import json
import sys

import duckdb
import pandas
import polars
import pyarrow.compute
import pyarrow.dataset

ROOT = sys.argv[1]
OURS = dict(zip(("events", "sessions", "anomalies"), sys.argv[2:]))
# Of the rows with the same value in the first column: how many there are, and the sum of the second.
COUNTED = {"sessions": ("status", "event_count"), "anomalies": ("signal", "revision")}


def glob(table):
    return f"{ROOT}/{table}/**/*.parquet"


def check(engine, table, rows):
    """Rows begin with what they are grouped by."""
    told = "\n".join("|".join("" if cell is None else str(cell) for cell in row) for row in sorted(rows))
    if told != OURS[table]:
        raise SystemExit(f"{engine} over {table}:\n{told}\nours:\n{OURS[table]}")


def with_duckdb():
    duckdb.sql("set TimeZone = 'UTC'")
    check("DuckDB", "events", duckdb.sql(f"""
        select event_type, count(*), count(distinct workflow_id), sum(input_tokens), sum(output_tokens),
               cast(round(sum(cost_usd) * 1e6) as bigint), epoch_us(min(occurred_at)), epoch_us(max(occurred_at)),
               sum(cast(attributes ->> 'second' as bigint)), sum(len(caused_by))
        from '{glob('events')}' group by event_type""").fetchall())
    for table, (group, summed) in COUNTED.items():
        check("DuckDB", table, duckdb.sql(
            f"select {group}, count(*), sum({summed}), 0, 0, 0, 0, 0, 0, 0 from '{glob(table)}' group by {group}").fetchall())


def with_polars():
    column = polars.col
    time = lambda value: value.dt.epoch("us")
    # A sum of nothing is 0 in Polars and nothing in SQL.
    total = lambda value: polars.when(value.count() > 0).then(value.sum())
    seconds = column("attributes").str.json_path_match("$.second").cast(polars.Int64)
    events = polars.scan_parquet(glob("events")).group_by("event_type").agg(
        polars.len(), column("workflow_id").n_unique(), total(column("input_tokens")), total(column("output_tokens")),
        (total(column("cost_usd")) * 1e6).round().cast(polars.Int64).alias("micro_usd"),
        time(column("occurred_at").min()).alias("first"), time(column("occurred_at").max()).alias("last"),
        total(seconds).alias("seconds"), total(column("caused_by").list.len().cast(polars.Int64)))
    check("Polars", "events", events.collect().rows())
    for table, (group, summed) in COUNTED.items():
        counted = polars.scan_parquet(glob(table)).group_by(group).agg(polars.len(), column(summed).sum())
        check("Polars", table, [(*row, *[0] * 7) for row in counted.collect().rows()])


def with_pyarrow():
    compute = pyarrow.compute
    data = pyarrow.dataset.dataset(f"{ROOT}/events", partitioning="hive").to_table()
    seconds = [json.loads(text)["second"] if text and '"second"' in text else None for text in data["attributes"].to_pylist()]
    data = data.append_column("second", pyarrow.array(seconds).cast(pyarrow.int64()))
    data = data.append_column("causes", compute.list_value_length(data["caused_by"]))
    grouped = data.group_by("event_type").aggregate([
        ([], "count_all"), ("workflow_id", "count_distinct"), ("input_tokens", "sum"), ("output_tokens", "sum"),
        ("cost_usd", "sum"), ("occurred_at", "min"), ("occurred_at", "max"), ("second", "sum"), ("causes", "sum")])
    micros = lambda column: column.cast(pyarrow.timestamp("us")).cast(pyarrow.int64()).to_pylist()
    cost = [None if cost is None else round(cost * 1e6) for cost in grouped["cost_usd_sum"].to_pylist()]
    columns = [grouped[name].to_pylist() for name in
               ("event_type", "count_all", "workflow_id_count_distinct", "input_tokens_sum", "output_tokens_sum")]
    columns += [cost, micros(grouped["occurred_at_min"]), micros(grouped["occurred_at_max"]),
                grouped["second_sum"].to_pylist(), grouped["causes_sum"].to_pylist()]
    check("pyarrow", "events", list(zip(*columns)))
    for table, (group, summed) in COUNTED.items():
        data = pyarrow.dataset.dataset(f"{ROOT}/{table}", partitioning="hive").to_table([group, summed])
        grouped = data.group_by(group).aggregate([([], "count_all"), (summed, "sum")])
        rows = zip(*(grouped[name].to_pylist() for name in (group, "count_all", f"{summed}_sum")))
        check("pyarrow", table, [(*row, *[0] * 7) for row in rows])


def with_pandas():
    data = pandas.read_parquet(f"{ROOT}/events")
    rows = []
    for kind, group in data.groupby("event_type"):
        total = lambda values: None if values.dropna().empty else int(values.sum())
        micros = lambda time: (time - pandas.Timestamp(0, tz="UTC")) // pandas.Timedelta(microseconds=1)
        seconds = group["attributes"].dropna().map(json.loads).map(lambda entries: entries.get("second")).dropna().astype(int)
        cost = group["cost_usd"].dropna()
        rows.append((kind, len(group), group["workflow_id"].nunique(), total(group["input_tokens"]),
                     total(group["output_tokens"]), None if cost.empty else round(cost.sum() * 1e6),
                     micros(group["occurred_at"].min()), micros(group["occurred_at"].max()), total(seconds),
                     total(group["caused_by"].dropna().map(len))))
    check("pandas", "events", rows)
    for table, (group, summed) in COUNTED.items():
        data = pandas.read_parquet(f"{ROOT}/{table}", columns=[group, summed])
        counted = data.groupby(group)[summed].agg(["size", "sum"])
        check("pandas", table, [(key, int(row["size"]), int(row["sum"]), *[0] * 7) for key, row in counted.iterrows()])


with_duckdb()
with_polars()
with_pyarrow()
with_pandas()
