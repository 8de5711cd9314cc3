# The lab in a container: on the processor, without root, all that it writes in /data.
# docs/INSTALL.md says how it is started.
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.11-slim-bookworm
# PyTorch without CUDA. With it: --build-arg TORCH_INDEX=https://pypi.org/simple
# Unpinned like requirements.txt, which says why.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" torch torchvision
COPY --from=build /wheel /wheel
# For the machines of a cluster: --build-arg EXTRAS=auth,onnx,postgres,ray
ARG EXTRAS=auth,onnx,postgres
RUN pip install --no-cache-dir "$(echo /wheel/*.whl)[$EXTRAS]"

RUN useradd --create-home --uid 1000 lab && install -d -o lab -g lab /data
USER 1000
WORKDIR /data
ENV LAB_HOME=/data/lab TORCH_HOME=/data/torch HF_HOME=/data/huggingface
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
# Within a container the lab listens for others, so it does not start before LAB_SHARED says who may come in.
CMD ["epochlab", "ui", "--no-browser", "--", "--server.address", "0.0.0.0"]
