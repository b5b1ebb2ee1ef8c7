# One image for the head and the workers of a cluster, for searches on one machine, and for the service.
#
#   docker build --tag ser-search .                                           # in this folder
#   docker run --rm --init --gpus all --shm-size 8g --volume "$PWD/runs:/home/ser/runs" ser-search \
#     ser search --model mlp --data ravdess                                   # --gpus all where there is one
#   docker run --rm --init --publish 127.0.0.1:8080:8080 --volume "$PWD/runs:/home/ser/runs" ser-search \
#     ser serve runs/NAME --host 0.0.0.0
#   docker build --build-arg EXTRAS=onnx,cluster --tag ser-search .           # other extras of pyproject.toml
#
# docs/clusters.md says how clusters use it. GPUs need the driver and NVIDIA's container toolkit on the host; CUDA comes
# with PyTorch. Nothing is compiled, so a second stage would leave nothing behind.
FROM python:3.12.12-slim-bookworm

# bash and wget are what KubeRay's own commands and probes use; the other one reaps what Ray's processes leave behind.
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install --yes --no-install-recommends tini wget \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --create-home --uid 1000 ser

ENV PYTHONUNBUFFERED=1 \
  NVIDIA_VISIBLE_DEVICES=all \
  NVIDIA_DRIVER_CAPABILITIES=compute,utility

# What the project depends on, several GB that change seldom, is a layer by itself: an installation without any code.
ARG EXTRAS=dashboard,finetune,onnx,postgres,ray-serve
WORKDIR /opt/ser-search
COPY pyproject.toml README.md LICENSE ./
# pyproject.toml pins what has to be pinned.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --no-compile ".[${EXTRAS}]" && pip uninstall --yes ser-search && rm -rf build ./*.egg-info

# The code, a layer of a few MB.
COPY search search
COPY ser_core ser_core
COPY spaces spaces
RUN pip install --no-cache-dir --no-deps . && rm -rf build ./*.egg-info

USER 1000
WORKDIR /home/ser
ENTRYPOINT ["tini", "--"]
CMD ["ser", "--help"]
