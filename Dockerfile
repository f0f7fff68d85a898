# For systems whose C library is too old for TFX 1.21 and cannot be helped by bootstrap.sh.
#   docker build -t tfx-bert . && docker run --rm -it -v "$PWD/output:/tfx-bert/output" tfx-bert make demo
FROM ubuntu:24.04
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv make git ca-certificates \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /tfx-bert
COPY . .
RUN make setup
ENV PATH=/tfx-bert/.venv/bin:$PATH
CMD ["make", "demo"]
