"""psycopg, SQLAlchemy and pandas against the PostgreSQL door; any difference from what is expected ends it with an error.

Arguments: port, password. Run by query/tests/it/clients.rs over the stories of query/tests/it/stories.rs.
"""

import datetime
import sys

import pandas
import psycopg
import sqlalchemy
from psycopg.rows import dict_row

PORT, PASSWORD = sys.argv[1:]
UTC = datetime.timezone.utc


def check(what, got, expected):
    if got != expected:
        raise SystemExit(f"{what}: got {got!r}, expected {expected!r}")


def with_psycopg():
    told = f"host=127.0.0.1 port={PORT} user=throughline password='{PASSWORD}' dbname=throughline"
    with psycopg.connect(told) as db:
        check("server", db.info.server_version, 150000)
        for binary in (False, True):
            cursor = db.cursor(binary=binary, row_factory=dict_row)
            cursor.execute(
                "select called_at, duration_s, repeat, passed, verifies, tool from tool_calls"
                " where workflow_id = %s and tool = %s and duration_s > %s",
                ["incident-0247", "deploy.rollback", 1.5],
            )
            check(
                f"typed row, binary={binary}",
                cursor.fetchall(),
                [
                    {
                        "called_at": datetime.datetime(2025, 11, 18, 2, 55, 20, tzinfo=UTC),
                        "duration_s": 80.0,
                        "repeat": 0,
                        "passed": None,
                        "verifies": [],
                        "tool": "deploy.rollback",
                    }
                ],
            )
            cursor.execute(
                "select attributes, caused_by, date, hour, cost_usd from events where event_id = %s",
                ["approval-7400-done"],
            )
            check(
                f"json and lists, binary={binary}",
                cursor.fetchall(),
                [
                    {
                        "attributes": {"amount_usd": "100", "customer_id": "CUST-0"},
                        "caused_by": ["approval-7400-decides"],
                        "date": datetime.date(2025, 11, 20),
                        "hour": 10,
                        "cost_usd": None,
                    }
                ],
            )
            cursor.execute(
                "select count(*) as n from events where occurred_at >= %s and workflow_id like %s",
                [datetime.datetime(2025, 11, 20, tzinfo=UTC), "approval-%"],
            )
            check(f"time as a parameter, binary={binary}", cursor.fetchall(), [{"n": 42}])
            cursor.execute("select %s::int + 1 as n, cast(%s as text) as t, event_id from events limit %s", [41, "x", 1])
            found = cursor.fetchone()
            check(f"parameters that nothing else explains, binary={binary}", (found["n"], found["t"]), (42, "x"))
        # prepared after a few times by psycopg itself
        for _ in range(8):
            row = db.execute("select count(*) from events where workflow_id = %s", ["incident-0247"]).fetchone()
            check("prepared", row, (22,))
        # a cursor of the server, in parts
        with db.cursor("parts") as cursor:
            cursor.itersize = 7
            cursor.execute("select event_id from events where workflow_id = 'incident-0247'")
            check("columns of a cursor", [column.name for column in cursor.description], ["event_id"])
            check("rows of a cursor", len(list(cursor)), 22)
        with db.cursor() as cursor:
            with cursor.copy("copy (select actor_id from agents where workflow_id = 'incident-0247') to stdout") as copy:
                check("rows of a copy", len(list(copy.rows())), 8)
        try:
            db.execute("delete from events")
            raise SystemExit("delete was let through")
        except psycopg.errors.ReadOnlySqlTransaction as error:
            check("refusal", "only reads" in str(error), True)
        db.rollback()
        check("after it", db.execute("select 1").fetchone(), (1,))


def with_sqlalchemy_and_pandas():
    address = sqlalchemy.URL.create(
        "postgresql+psycopg", "throughline", PASSWORD, "127.0.0.1", int(PORT), "throughline"
    )
    engine = sqlalchemy.create_engine(address)
    with engine.connect() as db:
        query = sqlalchemy.text("select workflow_id, duration_s from workflows where workflow_type = :kind order by 1")
        rows = db.execute(query, {"kind": "approval"}).all()
        check("rows of SQLAlchemy", len(rows), 11)
    names = sqlalchemy.inspect(engine).get_table_names() + sqlalchemy.inspect(engine).get_view_names()
    check("tables of SQLAlchemy", {"events", "session_history", "handoffs"} <= set(names), True)
    columns = {column["name"]: str(column["type"]) for column in sqlalchemy.inspect(engine).get_columns("handoffs")}
    check("columns of SQLAlchemy", [columns["workflow_id"], columns["offered_at"]], ["TEXT", "TIMESTAMP"])
    frame = pandas.read_sql_table("agents_hourly", engine, columns=["hour", "team", "escalations"])
    check("a whole table", int(frame["escalations"].sum()), 5)
    frame = pandas.read_sql(
        "select hour, actor_id, escalations from agents_hourly where team = 'support' order by hour", engine
    )
    check("rows of pandas", len(frame), 6)
    check("sum of pandas", int(frame["escalations"].sum()), 5)
    check("types of pandas", str(frame["hour"].dtype).startswith("datetime64") and "UTC" in str(frame["hour"].dtype), True)


with_psycopg()
with_sqlalchemy_and_pandas()
print("all is well")
