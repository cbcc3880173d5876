//! The two files that tell Kafka how to run as one node: `server.properties` and `log4j2.xml`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::Error;
use crate::broker::BrokerConfig;
use crate::node::Ports;

/// Name of Kafka's log in its log folder.
pub(crate) const LOG_FILE: &str = "kafka.log";

/// The Java property that carries the log folder, so that no path has to be escaped into XML.
pub(crate) const LOG_DIR_PROPERTY: &str = "localkafka.logs";

/// What one node on loopback needs, and what makes it quick to answer; the reason stands beside what is not plain.
pub(crate) fn server_properties(
    config: &BrokerConfig,
    topics_dir: &Path,
    ports: &Ports,
) -> Result<String, Error> {
    let topics_dir = topics_dir_value(topics_dir)?;
    let address = &ports.address;
    let controller = format!("127.0.0.1:{}", ports.controller);
    let message_bytes_max = config.message_bytes_max.to_string();
    let mut properties: BTreeMap<&str, String> = [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.listener.names", "CONTROLLER"),
        ("inter.broker.listener.name", "CLIENT"),
        (
            "listener.security.protocol.map",
            "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        ),
        // A name misspelt is an error at once, not an empty topic.
        ("auto.create.topics.enable", "false"),
        ("num.partitions", "1"),
        // One node: everything is there once. Few partitions: each costs files and a moment at the start.
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "4"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("transaction.state.log.num.partitions", "4"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
        ("share.coordinator.state.topic.num.partitions", "1"),
        // Whoever joins a group need not wait for others; whoever died is missed within a second if it asked for that.
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.min.session.timeout.ms", "1000"),
        (
            "transaction.abort.timed.out.transaction.cleanup.interval.ms",
            "1000",
        ),
        // A killed broker registers again only when the session of its former life is over, after 9 s by default.
        // Nobody else could take over on one node, so the session need only outlast a stall of the machine.
        ("broker.heartbeat.interval.ms", "500"),
        ("broker.session.timeout.ms", "4000"),
        // 128 MiB of heap by default, for a cleaner of a few small compacted topics.
        ("log.cleaner.dedupe.buffer.size", "16777216"),
    ]
    .into_iter()
    .map(|(name, value)| (name, value.to_owned()))
    .collect();
    properties.extend([
        ("controller.quorum.voters", format!("1@{controller}")),
        (
            "listeners",
            format!("CLIENT://{address},CONTROLLER://{controller}"),
        ),
        ("advertised.listeners", format!("CLIENT://{address}")),
        ("log.dirs", topics_dir),
        ("message.max.bytes", message_bytes_max.clone()),
        ("replica.fetch.max.bytes", message_bytes_max),
    ]);
    for (name, value) in &config.properties {
        properties.insert(name, value.clone());
    }
    let mut text = String::from("# Written at each start; changes here are lost.\n");
    for (name, value) in &properties {
        text.push_str(&escape(name, true));
        text.push('=');
        text.push_str(&escape(value, false));
        text.push('\n');
    }
    Ok(text)
}

/// Warnings and worse, into files of bounded size; of a stack trace the root cause, so that it stands in a tail.
pub(crate) fn log4j2_xml(log_bytes_max: u64) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- Written at each start; changes here are lost. -->
<Configuration status="error" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName="${{sys:{LOG_DIR_PROPERTY}}}/{LOG_FILE}" filePattern="${{sys:{LOG_DIR_PROPERTY}}}/{LOG_FILE}.%i">
      <PatternLayout pattern="%d %-5p %m (%c)%n%rEx{{12}}"/>
      <SizeBasedTriggeringPolicy size="{log_bytes_max}"/>
      <DefaultRolloverStrategy max="2"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Root level="warn">
      <AppenderRef ref="file"/>
    </Root>
  </Loggers>
</Configuration>
"#
    )
}

/// The folder as the value of `log.dirs`, which is a list separated by commas.
fn topics_dir_value(path: &Path) -> Result<String, Error> {
    let unusable = |reason| Error::UnusablePath {
        path: path.to_owned(),
        reason,
    };
    let text = path
        .to_str()
        .ok_or_else(|| unusable("it is not valid UTF-8"))?;
    if text.contains(',') {
        return Err(unusable("it holds a comma, which Kafka takes for a list"));
    }
    Ok(text.to_owned())
}

/// Java reads the file as Latin-1, with its own escapes for everything else.
fn escape(text: &str, is_name: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (place, letter) in text.chars().enumerate() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            ' ' if is_name || place == 0 => escaped.push_str("\\ "),
            '=' | ':' | '#' | '!' if is_name => {
                escaped.push('\\');
                escaped.push(letter);
            }
            ' '..='~' => escaped.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    // writing to a string does not fail
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ports() -> Ports {
        Ports {
            client: 9092,
            controller: 9093,
            address: "127.0.0.1:9092".to_owned(),
        }
    }

    #[test]
    fn the_ports_and_the_folder_stand_where_kafka_looks() {
        let mut config = BrokerConfig::new("/d");
        config
            .properties
            .insert("num.partitions".to_owned(), "3".to_owned());
        let text = server_properties(&config, Path::new("/d/töpics"), &ports()).unwrap();
        for line in [
            "listeners=CLIENT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
            "advertised.listeners=CLIENT://127.0.0.1:9092",
            "controller.quorum.voters=1@127.0.0.1:9093",
            "log.dirs=/d/t\\u00f6pics",
            "message.max.bytes=8388608",
            "num.partitions=3",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_folder_that_kafka_would_split_is_refused() {
        let error =
            server_properties(&BrokerConfig::new("/d"), Path::new("/a,b"), &ports()).unwrap_err();
        assert!(error.to_string().contains("comma"), "{error}");
    }

    #[test]
    fn values_survive_javas_reading() {
        assert_eq!(escape(" a\\b\n=😀", false), "\\ a\\\\b\\n=\\ud83d\\ude00");
        assert_eq!(escape("a b=c", true), "a\\ b\\=c");
    }
}
