use crate::world::{World, table};
#[tokio::test]
async fn scratch() {
    let world = World::incident();
    let archive = world.archive();
    println!("{}", table(&archive, "select event_id, link, cause_event_id, gap_s from causes").await);
    for view in ["causes", "waterfall"] {
        println!("{}", table(&archive, &format!("explain select * from {view} where workflow_id = 'incident-0247'")).await.split("physical_plan").nth(0).unwrap().lines().map(|l| l.trim_end_matches(['|',' '])).collect::<Vec<_>>().join("\n"));
    }
}
