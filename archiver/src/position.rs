//! Where a partition can go on, given which offsets Kafka has. Pure.

/// How a wanted offset lies to the offsets that a topic has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// It is there, or will be the next.
    Here,
    /// It was deleted; this is the first that is not.
    Deleted {
        /// First offset that the topic has.
        first: i64,
    },
    /// It lies beyond the end.
    Ahead {
        /// Offset after the last one.
        end: i64,
    },
}

/// Looks a wanted offset up. `low` is the first offset of the topic, `high` the one after the last.
pub(crate) fn position(wanted: i64, low: i64, high: i64) -> Position {
    if wanted < low {
        Position::Deleted { first: low }
    } else if wanted > high {
        Position::Ahead { end: high }
    } else {
        Position::Here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_there_deleted_or_ahead() {
        assert_eq!(position(5, 5, 9), Position::Here);
        assert_eq!(
            position(9, 5, 9),
            Position::Here,
            "the next record will have it"
        );
        assert_eq!(position(4, 5, 9), Position::Deleted { first: 5 });
        assert_eq!(position(10, 5, 9), Position::Ahead { end: 9 });
        assert_eq!(position(0, 0, 0), Position::Here);
        assert_eq!(
            position(3, 7, 7),
            Position::Deleted { first: 7 },
            "a topic of which everything was deleted"
        );
    }
}
