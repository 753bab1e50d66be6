# mmskelssl on CPUs, from the same requirements as everywhere else. In the checkout:
#   docker build -t mmskelssl .
#   docker run --rm -it -v "$PWD:/workspace" mmskelssl prepare toy --out data/toy
FROM python:3.12-slim-bookworm

# OpenCV's shared libraries, which slim images leave out.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

# PyTorch's build for CPUs is a tenth of the size. A layer of its own: it is downloaded again only if its version changes.
COPY requirements/runtime.txt /tmp/runtime.txt
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "$(grep '^torch' /tmp/runtime.txt)"

COPY . /opt/mmskelssl
RUN pip install --no-cache-dir /opt/mmskelssl

# What a run writes (data/, work_dirs/) goes to the mounted folder.
WORKDIR /workspace
ENTRYPOINT ["mmskelssl"]
CMD ["--help"]
