//! Reading and writing by position agrees with the library that asks the schema.

use proptest::prelude::*;
use schemas::codec::SINGLE_OBJECT_HEADER_BYTES;
use schemas::{Decoder, Encoder, Event};

use crate::arbitrary::event;
use crate::checks::{self, LIBRARY};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn it_writes_and_reads_the_same_bytes(event in event()) {
        let bytes = Encoder::new().event(&event).unwrap();
        let datum = &bytes[SINGLE_OBJECT_HEADER_BYTES..];
        let mut config = serde_avro_fast::ser::SerializerConfig::new(&LIBRARY);
        prop_assert_eq!(serde_avro_fast::to_datum_vec(&event, &mut config).unwrap(), datum);
        prop_assert_eq!(&serde_avro_fast::from_datum_slice::<Event>(datum, &LIBRARY).unwrap(), &event);
        prop_assert_eq!(Decoder::default().event(&bytes).unwrap(), event.borrowed());
    }

    #[test]
    fn it_refuses_the_same_bytes(event in event(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = Encoder::new().event(&event).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len() - SINGLE_OBJECT_HEADER_BYTES) + SINGLE_OBJECT_HEADER_BYTES;
            bytes[at] = byte;
        }
        checks::agrees_with_the_library(&bytes);
    }
}
