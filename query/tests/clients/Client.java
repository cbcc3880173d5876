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
