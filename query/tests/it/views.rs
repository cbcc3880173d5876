//! Every view on the incident of 02:47, as an analyst would ask; and what the incident does not show.

use schemas::event::{Payload, ToolStatus};

use crate::world::{World, call, event, number, result, table};

/// Snapshots one query on the incident.
macro_rules! shows {
    ($($name:ident: $sql:expr;)+) => {$(
        #[tokio::test]
        async fn $name() {
            let world = World::incident();
            let told = format!("{}\n\n{}", $sql, table(&world.archive(), $sql).await);
            insta::assert_snapshot!(told);
        }
    )+};
}

shows! {
    events: "select event_id, event_type, actor_id, occurred_at from events order by occurred_at, kafka_offset";
    workflows: "select workflow_id, workflow_type, status, outcome, duration_s, event_count, actor_count, \
        handoffs_accepted, findings, findings_open, findings_critical, skipped_count from workflows";
    findings: "select signal, status, severity, kinds, opened_at, detected_at, proved_by from findings order by signal, subject";
    handoffs: "select handoff_id, from_actor, to_actor, phase, mode, offered_at, waited_s, offered_by, accepted_by \
        from handoffs order by offered_at";
    claims: "select claim_key, at, actor_id, event_type, kind, confidence, level_before, actor_before, rise, evidence \
        from claims order by claim_key, at, actor_id";
    tool_calls: "select call_id, actor_id, tool, effect, target, repeat, called_at, duration_s, status, result_event_id \
        from tool_calls order by called_at";
    tasks: "select task_id, parent_task_id, intent, state, owner, opened_at, duration_s, transitions from tasks \
        order by opened_at, task_id";
    decisions: "select at, actor_id, decision_type, choice, confidence, alternative_count, alternatives from decisions order by at";
    errors: "select * from errors order by at";
    agents: "select actor_id, actor_kind, team, events, tool_calls, handoffs_given, handoffs_taken, model_calls, \
        input_tokens, cost_usd from agents order by first_at, actor_id";
    causes: "select event_id, link, cause_event_id, cause_actor_id, gap_s from causes order by at, event_id, cause_event_id";
    waterfall: "select bar_id, parent_id, kind, lane, label, status, started_at, duration_s from waterfall \
        order by started_at, kind, bar_id";
    resent_is_empty: "select * from resent";
}

#[tokio::test]
async fn every_view_stands_on_an_archive_that_is_not_there() {
    let world = World::empty();
    let archive = world.archive();
    for relation in archive.relations() {
        assert_eq!(
            number(&archive, &format!("select count(*) from {}", relation.name)).await,
            0,
            "{}",
            relation.name
        );
        let columns = archive.columns(relation.name);
        assert!(!columns.is_empty(), "{}", relation.name);
    }
}

#[tokio::test]
async fn calls_are_paired_with_their_results_in_order_and_repeats_are_counted() {
    let world = World::empty();
    world.events(
        0,
        &[
            call("w", 1, "c", "search", "{\"q\":1}"),
            result("w", 3, "c", "search", ToolStatus::Timeout),
            call("w", 4, "c", "search", "{\"q\":1}"),
            result("w", 6, "c", "search", ToolStatus::Ok),
            call("w", 7, "d", "search", "{\"q\":2}"),
            call("v", 1, "c", "search", "{\"q\":1}"),
        ],
    );
    let told = table(
        &world.archive(),
        "select workflow_id, call_id, arguments, repeat, duration_s, status from tool_calls order by workflow_id, called_at",
    )
    .await;
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_filter_on_one_workflow_reads_that_workflow_alone() {
    let world = World::incident();
    for workflow in 0..20 {
        world.events(1, &[event(&format!("other-{workflow}"), workflow)]);
    }
    let archive = world.archive();
    for view in [
        "handoffs",
        "tool_calls",
        "claims",
        "causes",
        "waterfall",
        "tasks",
        "events_once",
    ] {
        let plan = table(
            &archive,
            &format!("explain select * from {view} where workflow_id = 'incident-0247'"),
        )
        .await;
        for scan in plan.lines().filter(|line| line.contains("DataSourceExec")) {
            assert!(
                scan.contains("= incident-0247"),
                "{view} scans without the filter:\n{plan}"
            );
        }
    }
}

#[tokio::test]
async fn a_text_of_a_megabyte_comes_back_whole() {
    let world = World::empty();
    let mut large = event("w", 1);
    let words = "überlang ".repeat(120_000);
    let Payload::Text(text) = &mut large.payload else {
        panic!("event() makes texts")
    };
    text.content = words.clone();
    world.events(0, &[large]);
    let archive = world.archive();
    assert_eq!(
        number(
            &archive,
            "select cast(octet_length(content) as bigint) from events"
        )
        .await,
        words.len() as i64
    );
    let found = format!(
        "select count(*) from events where content like '%{}%'",
        "überlang überlang"
    );
    assert_eq!(number(&archive, &found).await, 1);
}

#[tokio::test]
async fn folders_are_columns_and_prune() {
    let world = World::empty();
    // 02:15 and 26 hours later: two folders
    world.events(0, &[event("w", 0)]);
    world.events(0, &[event("w", 26 * 3600)]);
    let archive = world.archive();
    let told = table(
        &archive,
        "select date, hour, count(*) as events from events group by date, hour order by date",
    )
    .await;
    insta::assert_snapshot!(told);
    assert_eq!(
        number(
            &archive,
            "select count(*) from events where date = '2025-11-20'"
        )
        .await,
        1
    );
    assert_eq!(
        number(
            &archive,
            "select count(*) from events where date >= '2025-11-21' or hour = 5"
        )
        .await,
        0
    );
    let plan = table(
        &archive,
        "explain select event_id from events where date = '2025-11-20' and hour between 4 and 4",
    )
    .await;
    assert_eq!(plan.matches(".parquet").count(), 1, "{plan}");
}
