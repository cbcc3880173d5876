//! `information_schema`, in PostgreSQL's words: the engine's own calls types by its own names, at which clients that ask
//! what a column is (Grafana, Metabase) see strangers.
//!
//! Owns what stands in it, which never changes while the door is open: the catalogue is that of the build.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::catalog::information_schema::InformationSchemaProvider;
use datafusion::catalog::{MemTable, MemorySchemaProvider, SchemaProvider};
use datafusion::common::Result as EngineResult;
use futures::FutureExt;
use pgwire::api::Type;
use pgwire::api::portal::Format;

use super::answer;
use crate::archive::{CATALOG, SCHEMA};
use crate::{Archive, Error};

const NAME: &str = "information_schema";

/// A column of one of these tables, and its values.
type Values = (&'static str, ArrayRef);

/// Puts it in the place of the engine's own.
pub(super) fn register(archive: &Archive) -> Result<(), Error> {
    let tables = [
        ("schemata", schemata()),
        ("tables", tables(archive)),
        ("views", views(archive)),
        ("columns", columns(archive)?),
        (
            "table_constraints",
            none(&[
                "table_schema",
                "table_name",
                "constraint_name",
                "constraint_type",
            ]),
        ),
        (
            "key_column_usage",
            none(&[
                "table_schema",
                "table_name",
                "constraint_name",
                "column_name",
            ]),
        ),
    ];
    let schema = MemorySchemaProvider::new();
    for (name, values) in tables {
        let table = table(values).map_err(Error::from_engine)?;
        let registered = schema.register_table(name.to_owned(), Arc::new(table));
        registered.map_err(Error::from_engine)?;
    }
    let context = archive.context();
    // What functions there are, the engine tells: `show functions` is made of these two.
    let engines = InformationSchemaProvider::new(Arc::clone(context.state().catalog_list()));
    for name in ["routines", "parameters"] {
        if let Some(Ok(Some(table))) = engines.table(name).now_or_never() {
            let registered = schema.register_table(name.to_owned(), table);
            registered.map_err(Error::from_engine)?;
        }
    }
    // The engine's own is looked at first, wherever it is on.
    context
        .state_ref()
        .write()
        .config_mut()
        .options_mut()
        .catalog
        .information_schema = false;
    let Some(catalog) = context.catalog(CATALOG) else {
        return Err(Error::Engine(format!("no catalogue {CATALOG}")));
    };
    let registered = catalog.register_schema(NAME, Arc::new(schema));
    registered.map_err(Error::from_engine)?;
    Ok(())
}

fn table(values: Vec<Values>) -> EngineResult<MemTable> {
    let fields: Vec<Field> = values
        .iter()
        .map(|(name, values)| Field::new(*name, values.data_type().clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = values.into_iter().map(|(_, values)| values).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    MemTable::try_new(schema, vec![vec![batch]])
}

fn texts<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

fn same(value: Option<&str>, count: usize) -> ArrayRef {
    texts(std::iter::repeat_n(value, count))
}

fn none(names: &[&'static str]) -> Vec<Values> {
    names.iter().map(|name| (*name, same(None, 0))).collect()
}

fn schemata() -> Vec<Values> {
    let names = [SCHEMA, "pg_catalog", NAME];
    vec![
        ("catalog_name", same(Some(CATALOG), names.len())),
        ("schema_name", texts(names.map(Some))),
        ("schema_owner", same(Some(CATALOG), names.len())),
    ]
}

fn tables(archive: &Archive) -> Vec<Values> {
    let relations = archive.relations();
    let count = relations.len();
    let kind = |is_view| if is_view { "VIEW" } else { "BASE TABLE" };
    vec![
        ("table_catalog", same(Some(CATALOG), count)),
        ("table_schema", same(Some(SCHEMA), count)),
        (
            "table_name",
            texts(relations.iter().map(|relation| Some(relation.name))),
        ),
        (
            "table_type",
            texts(
                relations
                    .iter()
                    .map(|relation| Some(kind(relation.is_view))),
            ),
        ),
        ("is_insertable_into", same(Some("NO"), count)),
    ]
}

fn views(archive: &Archive) -> Vec<Values> {
    let mut relations = archive.relations();
    relations.retain(|relation| relation.is_view);
    let count = relations.len();
    vec![
        ("table_catalog", same(Some(CATALOG), count)),
        ("table_schema", same(Some(SCHEMA), count)),
        (
            "table_name",
            texts(relations.iter().map(|relation| Some(relation.name))),
        ),
        ("view_definition", same(None, count)),
        ("is_updatable", same(Some("NO"), count)),
    ]
}

/// A column of a table or view.
struct Column {
    relation: &'static str,
    name: String,
    place: i32,
    kind: Type,
}

fn columns(archive: &Archive) -> Result<Vec<Values>, Error> {
    let mut columns = Vec::new();
    for relation in archive.relations() {
        let provider = archive.context().table_provider(relation.name);
        let Some(Ok(provider)) = provider.now_or_never() else {
            return Err(Error::Engine(format!("{} is not ready", relation.name)));
        };
        let fields = answer::fields(&provider.schema(), &Format::UnifiedText)
            .map_err(|error| Error::Engine(format!("{}: {error}", relation.name)))?;
        columns.extend(fields.iter().zip(1..).map(|(field, place)| Column {
            relation: relation.name,
            name: field.name().to_owned(),
            place,
            kind: field.datatype().clone(),
        }));
    }
    let count = columns.len();
    let text = |of: fn(&Column) -> &str| texts(columns.iter().map(|column| Some(of(column))));
    let number = |of: fn(&Column) -> Option<i32>| -> ArrayRef {
        Arc::new(columns.iter().map(of).collect::<Int32Array>())
    };
    Ok(vec![
        ("table_catalog", same(Some(CATALOG), count)),
        ("table_schema", same(Some(SCHEMA), count)),
        ("table_name", text(|column| column.relation)),
        ("column_name", text(|column| &column.name)),
        ("ordinal_position", number(|column| Some(column.place))),
        ("column_default", same(None, count)),
        ("is_nullable", same(Some("YES"), count)),
        ("data_type", text(|column| standard_name(&column.kind))),
        ("character_maximum_length", number(|_| None)),
        (
            "numeric_precision",
            number(|column| precision(&column.kind)),
        ),
        (
            "numeric_scale",
            number(|column| {
                precision(&column.kind)
                    .filter(|_| is_whole(&column.kind))
                    .map(|_| 0)
            }),
        ),
        (
            "datetime_precision",
            number(|column| is_time(&column.kind).then_some(6)),
        ),
        ("udt_schema", same(Some("pg_catalog"), count)),
        ("udt_name", text(|column| column.kind.name())),
    ])
}

/// What the standard calls a type, and PostgreSQL with it.
fn standard_name(kind: &Type) -> &str {
    match *kind {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 => "integer",
        Type::INT8 => "bigint",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double precision",
        Type::TIMESTAMP => "timestamp without time zone",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        _ if kind.name().starts_with('_') => "ARRAY",
        _ => kind.name(),
    }
}

fn precision(kind: &Type) -> Option<i32> {
    match *kind {
        Type::INT2 => Some(16),
        Type::INT4 => Some(32),
        Type::INT8 => Some(64),
        Type::FLOAT4 => Some(24),
        Type::FLOAT8 => Some(53),
        _ => None,
    }
}

fn is_whole(kind: &Type) -> bool {
    [Type::INT2, Type::INT4, Type::INT8].contains(kind)
}

fn is_time(kind: &Type) -> bool {
    [Type::TIMESTAMP, Type::TIMESTAMPTZ].contains(kind)
}
