# Labels catalogues, by itself or for the queue, and serves the web page; holds no TensorFlow. Build it from the root of the repository:
#   docker build --file docker/worker.Dockerfile --tag hangtag-worker .
#   docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" hangtag-worker \
#     label /data/photos --model /data/bundles/shop --out /data/labels.parquet
# docker/compose.yaml runs workers of it; docs/deploy.md says more.
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY hangtag hangtag
COPY models models
COPY catalogue catalogue
COPY pages pages
COPY trainer trainer
COPY exporter exporter
COPY worker worker
COPY web web
RUN python -m venv /opt/hangtag \
 && /opt/hangtag/bin/python -m pip install --no-cache-dir --constraint constraints.txt '.[worker,web,s3]'

FROM python:3.11.14-slim-bookworm
# One user with a fixed number, so that folders on the host can be given to it; it owns nothing but these two folders,
# which belong on a volume (copies of models of jobs in S3) and on a tmpfs (the heartbeat). All else may be read-only.
RUN groupadd --gid 65532 hangtag \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /var/cache/hangtag --shell /usr/sbin/nologin hangtag \
 && install --directory --mode 1777 /var/cache/hangtag /run/hangtag
COPY --from=build /opt/hangtag /opt/hangtag
ENV PATH=/opt/hangtag/bin:$PATH \
    HOME=/var/cache/hangtag \
    XDG_CACHE_HOME=/var/cache/hangtag \
    TMPDIR=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HANGTAG_HEARTBEAT=/run/hangtag/heartbeat
USER 65532:65532
WORKDIR /tmp
# A worker touches the file about once a second; a main process that hangs does not. For commands that end by
# themselves (label, submit) pass --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["sh", "-c", "test -n \"$(find \"$HANGTAG_HEARTBEAT\" -newermt '-30 seconds' 2> /dev/null)\""]
STOPSIGNAL SIGTERM
ENTRYPOINT ["hangtag"]
CMD ["worker"]
