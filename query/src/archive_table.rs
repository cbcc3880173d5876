//! One table of the archive as queries name it: the columns of its files, and the day and hour of each row.
//!
//! Day and hour are computed from the row's own `kafka_timestamp`. Folders are no help there: that of a raw file is the
//! hour of its first row, that of a compacted file has no hour, and a row must not change its day when it is compacted.
//! How the files are found and read is in `table_files`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use archiver::{Kind, Table};
use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as EngineResult;
use datafusion::datasource::file_format::parquet::transform_schema_to_view;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::functions::datetime::expr_fn::date_part;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, TableType, cast, ident, lit,
};
use datafusion::physical_plan::ExecutionPlan;

use crate::once::{EVENTS_ONCE, EventsOnce};
use crate::store::ArchiveStore;
use crate::table_files::TableFiles;

/// Columns that are computed: day and hour of Kafka's timestamp, UTC.
pub(crate) const COMPUTED_COLUMNS: [&str; 2] = ["date", "hour"];

/// Column of the archive that the computed ones come from.
const TIMESTAMP: &str = "kafka_timestamp";

/// Column of the archive that holds the bytes of records that are no rows of their table; not shown in SQL.
const UNDECODABLE: &str = "undecodable";

/// Key in the metadata of a field whose text is JSON.
pub(crate) const JSON_MARK: &str = "throughline.json";

fn json_mark() -> HashMap<String, String> {
    HashMap::from([(JSON_MARK.to_owned(), "text".to_owned())])
}

/// A table of the archive.
#[derive(Debug)]
pub(crate) struct ArchiveTable {
    /// Its columns over its files.
    columns: ViewTable,
    kind: TableType,
}

impl ArchiveTable {
    /// A table with its columns. Where `marks_json`, text that is JSON is marked so in the schema, for a door that has a
    /// type of its own for it.
    pub(crate) fn new(
        table: Table,
        store: Arc<ArchiveStore>,
        marks_json: bool,
    ) -> EngineResult<Self> {
        let files = TableFiles::new(table, schema(table, marks_json), store);
        Self::over(table.name(), Arc::new(files), TableType::Base, None)
    }

    /// The view of events each of which counts once; `sql` says the same, see `once`.
    pub(crate) fn events_once(
        store: Arc<ArchiveStore>,
        marks_json: bool,
        sql: &str,
    ) -> EngineResult<Self> {
        let files = TableFiles::new(Table::Events, schema(Table::Events, marks_json), store);
        let once = Arc::new(EventsOnce::new(files));
        Self::over(EVENTS_ONCE, once, TableType::View, Some(sql.to_owned()))
    }

    fn over(
        name: &str,
        stored: Arc<dyn TableProvider>,
        kind: TableType,
        definition: Option<String>,
    ) -> EngineResult<Self> {
        let mut columns: Vec<Expr> = (stored.schema().fields().iter())
            .map(|field| ident(field.name()))
            .collect();
        let timestamp = || ident(TIMESTAMP);
        let [date, hour] = COMPUTED_COLUMNS;
        columns.push(cast(timestamp(), DataType::Date32).alias(date));
        columns.push(date_part(lit("hour"), timestamp()).alias(hour));
        let plan = LogicalPlanBuilder::scan(name, provider_as_source(stored), None)?
            .project(columns)?
            .build()?;
        Ok(Self {
            columns: ViewTable::new(plan, definition),
            kind,
        })
    }
}

/// The columns of a table's files that are shown, with the types that the engine reads them as.
fn schema(table: Table, marks_json: bool) -> SchemaRef {
    let archived = table.schema();
    let shown: Vec<_> = (archived.fields().iter())
        .filter(|field| field.name() != UNDECODABLE)
        .map(|field| {
            let is_json = (table.columns().iter())
                .any(|column| column.name == field.name() && column.kind == Kind::Json);
            match is_json && marks_json {
                true => Arc::new(field.as_ref().clone().with_metadata(json_mark())),
                false => Arc::clone(field),
            }
        })
        .collect();
    Arc::new(transform_schema_to_view(&Schema::new(shown)))
}

#[async_trait]
impl TableProvider for ArchiveTable {
    fn schema(&self) -> SchemaRef {
        self.columns.schema()
    }

    fn table_type(&self) -> TableType {
        self.kind
    }

    fn get_table_definition(&self) -> Option<&str> {
        self.columns.get_table_definition()
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.columns.get_logical_plan()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        self.columns.scan(state, projection, filters, limit).await
    }
}
