use crate::world::{World, table};
#[tokio::test]
async fn scratch() {
    let world = World::incident();
    let archive = world.archive();
    for sql in [
        "select * from (select workflow_id, actor_id as a from events group by 1, 2 union all select workflow_id, task_id as a from tasks) where workflow_id = 'incident-0247'",
    ] {
        println!(
            "{}",
            table(&archive, &format!("explain verbose {sql}"))
                .await
                .lines()
                .filter(|l| !l.contains("SAME TEXT"))
                .map(|l| l.trim_end_matches(['|', ' ']))
                .filter(|l| l.starts_with("| logical_plan after")
                    || l.starts_with("| initial_logical")
                    || l.starts_with("|     ")
                    || l.starts_with("| logical"))
                .take(220)
                .collect::<Vec<_>>()
                .join("\n")
        );
    }
}
