# Trains, checks, exports and labels. Build it from the root of the repository:
#   docker build --file docker/trainer.Dockerfile --tag hangtag-trainer .
#   docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" hangtag-trainer train photos --out runs/shop
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
 && /opt/hangtag/bin/python -m pip install --no-cache-dir --constraint constraints.txt '.[train,worker,s3,mlflow]'

FROM python:3.11.14-slim-bookworm
# The cache keeps decoded photos for later trainings: give it a volume of gigabytes.
RUN groupadd --gid 65532 hangtag \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /var/cache/hangtag --shell /usr/sbin/nologin hangtag \
 && install --directory --mode 1777 /var/cache/hangtag
COPY --from=build /opt/hangtag /opt/hangtag
ENV PATH=/opt/hangtag/bin:$PATH \
    HOME=/var/cache/hangtag \
    XDG_CACHE_HOME=/var/cache/hangtag \
    TMPDIR=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /data
# A training ends by itself, and shows its progress.
HEALTHCHECK NONE
STOPSIGNAL SIGINT
ENTRYPOINT ["hangtag"]
CMD ["--help"]
