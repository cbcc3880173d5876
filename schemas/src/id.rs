//! Event ids that are derived and not drawn: the same thing seen twice has the same id (promise I-2).
//!
//! Drawing an id needs a clock and randomness and is done at the edge, with `uuid`.

use uuid::Uuid;

/// Namespace of derived ids, itself derived once from the project's name; a change would change every derived id.
const NAMESPACE: Uuid = Uuid::from_u128(0x3c1f_9a0e_57d2_5b64_9b1e_7f25_d04a_8e61);

/// The UUIDv5 of the `parts` that name one thing within a `source`, for example a file and a line of it.
///
/// Parts are told apart: `["a", "bc"]` and `["ab", "c"]` give two ids.
pub fn derived_event_id(source: &str, parts: &[&str]) -> String {
    let mut name = Vec::with_capacity(128);
    for part in std::iter::once(&source).chain(parts) {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name).to_string()
}

#[cfg(test)]
mod tests {
    use super::derived_event_id;

    #[test]
    fn the_same_parts_give_the_same_id_for_ever() {
        assert_eq!(
            derived_event_id("replay", &["w1", "7"]),
            "7123a6ec-5e04-51dc-8a61-a4b164777542"
        );
    }

    #[test]
    fn other_parts_give_another_id() {
        let ids = [
            derived_event_id("replay", &["a", "bc"]),
            derived_event_id("replay", &["ab", "c"]),
            derived_event_id("replay", &["abc"]),
            derived_event_id("replay", &["abc", ""]),
            derived_event_id("replaya", &["bc"]),
            derived_event_id("", &["replay", "a", "bc"]),
        ];
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id), "{id} stands for two things");
        }
    }
}
