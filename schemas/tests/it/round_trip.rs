//! What goes in comes out: Avro in both framings, owned and in place, JSON, and JSON to Avro.

use proptest::prelude::*;
use schemas::json::{self, Defaults};
use schemas::{Decoder, Encoder, validate};

use crate::arbitrary::event;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_event_comes_back_from_avro(event in event()) {
        let mut encoder = Encoder::new();
        let bytes = encoder.event(&event).unwrap();
        let decoder = Decoder::with_registry_ids([(7, "event.v1")]).unwrap();
        let in_place = decoder.event(&bytes).unwrap();
        prop_assert_eq!(&in_place, &event.borrowed());
        prop_assert_eq!(&in_place.to_owned_event(), &event);
        prop_assert_eq!(&encoder.event(&in_place).unwrap(), &bytes, "borrowed text writes the same bytes");
        let confluent = encoder.event_confluent(&event, 7).unwrap();
        prop_assert_eq!(&confluent[..5], &[0, 0, 0, 0, 7]);
        prop_assert_eq!(&confluent[5..], &bytes[10..], "the framings hold the same datum");
        prop_assert_eq!(decoder.event(&confluent).unwrap(), in_place);
    }

    #[test]
    fn an_event_comes_back_from_json(event in event()) {
        prop_assert_eq!(validate(&event.borrowed()), Ok(()));
        let value = json::event_to_value(&event.borrowed());
        prop_assert_eq!(&json::event_from_value(&value, &Defaults::at(0)).unwrap(), &event);
        let text = json::event_to_string(&event.borrowed());
        let back = json::event_from_slice(text.as_bytes(), &Defaults::at(0)).unwrap();
        prop_assert_eq!(&back, &event);
        let bytes = Encoder::new().event(&back).unwrap();
        prop_assert_eq!(Decoder::default().event(&bytes).unwrap(), event.borrowed(), "JSON to Avro to the same event");
    }

    #[test]
    fn doubles_keep_every_bit_in_avro(probability in 0.0..=1.0_f64, cost in 0.0..1e300_f64, mut event in event()) {
        event.usage = Some(schemas::event::Usage {
            model: None, input_tokens: None, output_tokens: None, cost_usd: Some(cost * probability),
        });
        let bytes = Encoder::new().event(&event).unwrap();
        prop_assert_eq!(Decoder::default().event(&bytes).unwrap(), event.borrowed());
    }
}
