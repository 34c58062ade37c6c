# The platform's image: one for every role. `docker build -t zhiyun:0.1.0 .` from the checkout; see docs/deployment.md.

FROM python:3.11-slim-bookworm AS build
WORKDIR /opt/zhiyun
RUN python -m venv .venv
# The lock alone first: the layer of libraries is made anew only when the lock changes.
COPY requirements/runtime.lock requirements/runtime.lock
RUN .venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/runtime.lock
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY zhiyun LICENSE ./
COPY core core
COPY config config
COPY adapters adapters
COPY registry registry
COPY cache cache
COPY storage storage
COPY bus bus
COPY exchange exchange
COPY gateway gateway
COPY console console
COPY server server
COPY cli cli
COPY examples examples
COPY tools/compile.py tools/compile.py
# The hot path in C, always: an image that would run slower than it should is not made.
RUN .venv/bin/python tools/compile.py --require
# Compiled here, because at run time the folder is read-only; by content, because file times do not survive every builder.
RUN .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash \
    core config adapters registry cache storage bus exchange gateway console server cli examples

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Zhiyun 智云" \
      org.opencontainers.image.description="Open data platform: API gateway and data-exchange centre" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# unixodbc and Kerberos' library are what Microsoft's ODBC driver needs; everything else is in the locked wheels.
RUN apt-get update \
    && apt-get install -y --no-install-recommends unixodbc libgssapi-krb5-2 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 zhiyun \
    && useradd --system --uid 10001 --gid zhiyun --home-dir /var/lib/zhiyun --create-home zhiyun
COPY --from=build /opt/zhiyun /opt/zhiyun
ENV PYTHONDONTWRITEBYTECODE=1 \
    ZHIYUN_DATA_DIR=/var/lib/zhiyun \
    ZHIYUN_HTTP=0.0.0.0:8080 \
    ZHIYUN_CONSOLE=0.0.0.0:8081
WORKDIR /var/lib/zhiyun
USER 10001:10001
VOLUME /var/lib/zhiyun
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# Asks the ports of the node's roles as its settings say, by TLS where the listener has it. With a settings file elsewhere than in the
# working folder, add --config to the check as to the command (deploy/compose.yaml).
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/opt/zhiyun/zhiyun", "health"]
ENTRYPOINT ["/opt/zhiyun/zhiyun"]
CMD ["up"]
