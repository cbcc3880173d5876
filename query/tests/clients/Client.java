import java.sql.*;
import java.util.*;

/**
 * pgjdbc against the PostgreSQL door, as DBeaver and Metabase use it; any difference from what is expected ends it with an
 * error. Arguments: port, password. Run by query/tests/it/clients.rs over the stories of query/tests/it/stories.rs.
 */
public class Client {
    static void check(String what, Object got, Object expected) {
        if (!Objects.equals(got, expected)) {
            throw new IllegalStateException(what + ": got " + got + ", expected " + expected);
        }
    }

    static List<String> all(ResultSet rows, String column) throws SQLException {
        List<String> all = new ArrayList<>();
        while (rows.next()) {
            all.add(rows.getString(column));
        }
        return all;
    }

    static String first(ResultSet rows) throws SQLException {
        check("a row", rows.next(), true);
        return rows.getString(1);
    }

    static long number(Connection db, String sql, Object... values) throws SQLException {
        try (PreparedStatement query = db.prepareStatement(sql)) {
            for (int nth = 0; nth < values.length; nth++) {
                query.setObject(nth + 1, values[nth]);
            }
            ResultSet row = query.executeQuery();
            check(sql, row.next(), true);
            return row.getLong(1);
        }
    }

    /** What a navigator like DBeaver's asks of the catalogue on its way from the database to the columns of a table. */
    static void navigator(Connection db) throws SQLException {
        try (Statement query = db.createStatement()) {
            query.execute("SET extra_float_digits = 3");
            query.execute("SET application_name = 'navigator'");
            query.execute("SET search_path = public");
            check("schema", first(query.executeQuery("SELECT current_schema(), session_user")), "public");
            check("path", first(query.executeQuery("SHOW search_path")), "public");
            check("version", first(query.executeQuery("SELECT version()")).startsWith("PostgreSQL 15"), true);
            query.executeQuery("SELECT db.oid, db.* FROM pg_catalog.pg_database db WHERE datallowconn AND NOT datistemplate"
                    + " ORDER BY db.datname");
            query.executeQuery("select * from pg_catalog.pg_settings where name = 'standard_conforming_strings'");
            query.executeQuery("SELECT t.oid, t.*, c.relkind, format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name,"
                    + " d.description FROM pg_catalog.pg_type t LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid = t.typelem"
                    + " LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid = t.typrelid"
                    + " LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid = d.objoid"
                    + " WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c')"
                    + " AND (et.typcategory IS NULL OR et.typcategory <> 'C')");
        }
        long schema = number(db, "SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n"
                + " LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = n.oid AND d.objsubid = 0"
                + " AND d.classoid = 'pg_namespace'::regclass WHERE n.nspname = ? ORDER BY nspname", "public");
        long table = number(db, "SELECT c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) as partition_expr,"
                + " pg_catalog.pg_get_partkeydef(c.oid) as partition_key FROM pg_catalog.pg_class c"
                + " LEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid = c.oid AND d.objsubid = 0"
                + " AND d.classoid = 'pg_class'::regclass"
                + " WHERE c.relnamespace = ? AND c.relkind not in ('i', 'I', 'c') AND c.relname = ?", schema, "handoffs");
        try (PreparedStatement query = db.prepareStatement("SELECT c.relname, a.*, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true)"
                + " as def_value, dsc.description, dep.objid FROM pg_catalog.pg_attribute a"
                + " INNER JOIN pg_catalog.pg_class c ON (a.attrelid = c.oid)"
                + " LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid = ad.adrelid AND a.attnum = ad.adnum)"
                + " LEFT OUTER JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid)"
                + " LEFT OUTER JOIN pg_depend dep on dep.refobjid = a.attrelid AND dep.deptype = 'i' and dep.refobjsubid = a.attnum"
                + " and dep.classid = dep.refclassid"
                + " WHERE NOT a.attisdropped AND c.relkind not in ('i', 'I', 'c') AND c.oid = ? ORDER BY a.attnum")) {
            query.setLong(1, table);
            List<String> columns = all(query.executeQuery(), "attname");
            check("columns of the navigator", columns.subList(0, 2), List.of("workflow_id", "handoff_id"));
        }
    }

    public static void main(String[] arguments) throws Exception {
        String address = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/throughline";
        try (Connection db = DriverManager.getConnection(address, "throughline", arguments[1])) {
            db.setReadOnly(true);
            DatabaseMetaData about = db.getMetaData();
            check("major version", about.getDatabaseMajorVersion(), 15);
            List<String> tables = all(about.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME");
            check("tables", tables.containsAll(List.of("events", "session_history")), true);
            List<String> views = all(about.getTables(null, "public", "hand%", new String[] {"VIEW"}), "TABLE_NAME");
            check("views", views, List.of("handed_claims", "handoffs"));
            List<String> columns = all(about.getColumns(null, "public", "handoffs", "%"), "COLUMN_NAME");
            check("columns", columns.subList(0, 2), List.of("workflow_id", "handoff_id"));
            check("schemas", all(about.getSchemas(), "TABLE_SCHEM").contains("public"), true);
            check("keys", all(about.getPrimaryKeys(null, "public", "events"), "COLUMN_NAME"), List.of());
            check("foreign keys", all(about.getImportedKeys(null, "public", "events"), "FKCOLUMN_NAME"), List.of());
            check("catalogs", all(about.getCatalogs(), "TABLE_CAT").contains("throughline"), true);
            check("table types", all(about.getTableTypes(), "TABLE_TYPE").contains("VIEW"), true);
            check("isolation", db.getTransactionIsolation(), Connection.TRANSACTION_READ_COMMITTED);
            check("indexes", all(about.getIndexInfo(null, "public", "events", false, false), "COLUMN_NAME"), List.of());

            // enough times for a prepared statement of the server and binary results
            try (PreparedStatement query = db.prepareStatement(
                    "select called_at, duration_s, repeat, passed, verifies, tool from tool_calls"
                            + " where workflow_id = ? and tool = ? and duration_s > ?")) {
                for (int time = 0; time < 8; time++) {
                    query.setString(1, "incident-0247");
                    query.setString(2, "deploy.rollback");
                    query.setDouble(3, 1.5);
                    try (ResultSet row = query.executeQuery()) {
                        check("a row", row.next(), true);
                        check("time", row.getTimestamp(1).toInstant().toString(), "2025-11-18T02:55:20Z");
                        check("seconds", row.getDouble(2), 80.0);
                        check("count", row.getLong(3), 0L);
                        row.getBoolean(4);
                        check("null", row.wasNull(), true);
                        check("list", ((Object[]) row.getArray(5).getArray()).length, 0);
                        check("end", row.next(), false);
                    }
                }
            }

            navigator(db);

            // in parts: a fetch size needs a transaction
            db.setAutoCommit(false);
            try (Statement query = db.createStatement()) {
                query.setFetchSize(7);
                ResultSet rows = query.executeQuery("select event_id from events where workflow_id = 'incident-0247'");
                check("rows in parts", all(rows, "event_id").size(), 22);
            }
            db.commit();
            db.setAutoCommit(true);
            db.setReadOnly(false);
            try (Statement query = db.createStatement()) {
                query.executeUpdate("delete from events");
                throw new IllegalStateException("delete was let through");
            } catch (SQLException refused) {
                check("refusal", refused.getSQLState(), "25006");
            }
            try (Statement query = db.createStatement()) {
                query.setQueryTimeout(1);
                query.executeQuery("select count(*) from generate_series(1, 1000000000000) a");
                throw new IllegalStateException("an endless query has ended");
            } catch (SQLException cancelled) {
                check("timeout", cancelled.getSQLState(), "57014");
            }
        }
        System.out.println("all is well");
    }
}
