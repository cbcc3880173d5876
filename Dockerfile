# syntax=docker/dockerfile:1
# One image for every service: `throughline ingest`, `process`, `archive`, and the commands that ask (`sql`, `explain`,
# `watch`). Kafka is not in it; `docker-compose.yml` has one beside it, and THROUGHLINE_KAFKA__BROKERS names another.
#
# Not built anywhere yet: no container engine was at hand. What it runs is what README's first command runs.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches outlive the build and are no part of the image, hence the copy out of the target folder.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin throughline \
    && cp target/release/throughline /throughline

FROM debian:bookworm-slim
# For brokers behind TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --create-home throughline
COPY --from=build /throughline /usr/local/bin/throughline
USER throughline
# Everything that a service keeps: the archive, logs.
ENV THROUGHLINE_DATA=/data
VOLUME /data
# The HTTP door of `ingest`.
EXPOSE 7171
ENTRYPOINT ["throughline"]
CMD ["help"]
