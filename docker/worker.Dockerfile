# Labels catalogues, by itself or for the queue; holds no TensorFlow. Build from the root of the repository:
#   docker build --file docker/worker.Dockerfile --tag hangtag-worker .
#   docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" hangtag-worker \
#     label /data/photos --model /data/bundles/shop --output /data/labels.parquet
#   docker run --volume /mnt/shared:/mnt/shared --stop-timeout 30 hangtag-worker \
#     worker --redis redis://queue:6379/0 --jobs /mnt/shared/jobs
FROM python:3.11-slim AS build
COPY . /source
RUN python -m venv /opt/hangtag \
 && /opt/hangtag/bin/pip install --no-cache-dir --constraint /source/constraints.txt '/source[worker,s3]'

FROM python:3.11-slim
COPY --from=build /opt/hangtag /opt/hangtag
RUN useradd --create-home hangtag
USER hangtag
WORKDIR /data
ENTRYPOINT ["/opt/hangtag/bin/hangtag"]
CMD ["--help"]
