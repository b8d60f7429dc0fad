# Labels catalogues, with or without the queue, and serves the web page. It has no TensorFlow. Build it from the root of the repository:
#   docker build --file docker/worker.Dockerfile --tag hangtag-worker .
#   docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" hangtag-worker \
#     label /data/photos --model /data/bundles/shop --out /data/labels.parquet
# docker/compose.yaml runs workers with this image; see docs/deploy.md.
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
# The user has a fixed number, so that it can own folders on the host. In the image, it owns only these two folders:
# put one on a volume (models of jobs in S3), one on a tmpfs (the heartbeat). Everything else may be read-only.
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
# A worker touches the file about once a second, unless its main process hangs. For commands that end by themselves
# (label, submit), pass --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["sh", "-c", "test -n \"$(find \"$HANGTAG_HEARTBEAT\" -newermt '-30 seconds' 2> /dev/null)\""]
STOPSIGNAL SIGTERM
ENTRYPOINT ["hangtag"]
CMD ["worker"]
