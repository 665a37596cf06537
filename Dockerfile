# syntax=docker/dockerfile:1

# One image with all five programs. The command selects the program; the default command runs the
# whole suite in one process, with SQLite under /data:
#
#     docker build -t clinic . && docker run --rm -p 8080:8080 -v clinic-data:/data clinic

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# The cargo registry and target/ are cache mounts, which are not part of a layer, so the programs
# are copied out of them. aws-lc and SQLite need only the C compiler of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    set -eu; \
    programs="clinic clinic-auth clinic-records clinic-assignment clinic-gateway"; \
    for program in $programs; do set -- "$@" --package "$program"; done; \
    cargo build --release --locked "$@"; \
    mkdir /programs; \
    for program in $programs; do cp "target/release/$program" /programs/; done; \
    mkdir /licences; \
    cp --parents LICENSE third_party/web/*/LICENSE third_party/web/*/NOTICE \
       third_party/web/*/*.LICENSE.txt /licences/

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Clinic" \
      org.opencontainers.image.description="Accounts, patients, doctors, and which doctor treats which patient, over gRPC and REST" \
      org.opencontainers.image.licenses="MIT AND Apache-2.0"
# A new volume gets its owner from the folder that it is mounted over.
RUN groupadd --system --gid 65532 clinic \
    && useradd --system --uid 65532 --gid clinic --no-create-home --home-dir /data \
       --shell /usr/sbin/nologin clinic \
    && install --directory --owner clinic --group clinic --mode 0700 /data /keys /secrets/client \
    && install --directory --owner clinic --group clinic --mode 0755 /secrets/server
# Root certificates, for TLS connections to a database or a service.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /programs/ /usr/local/bin/
# Licenses of the programs and of the web pages that they contain.
COPY --from=build /licences/ /usr/share/doc/clinic/
USER 65532:65532
WORKDIR /data
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=6s --start-period=20s CMD ["clinic", "health"]
CMD ["clinic", "up", "--data-dir", "/data", "--listen", "0.0.0.0:8080"]
