-- What DuckDB has other names for, so that the views of `query/src/views` mean the same there.
create or replace macro json_get_str(document, key) as document ->> key;
create or replace macro json_get_float(document, key) as cast(document ->> key as double);
create or replace macro json_get_array(document) as cast(document as json[]), (document, key) as cast(document -> key as json[]);
create or replace macro json_get_json(document, key) as cast(document -> key as varchar);
create or replace macro json_length(document) as json_array_length(document),
    (document, key) as json_array_length(document, '$.' || key);
create or replace macro regexp_count(text, pattern) as len(regexp_extract_all(text, pattern));
create or replace macro cardinality(list) as len(list);
