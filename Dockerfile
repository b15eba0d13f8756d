# docker build --tag robust . && docker run --rm --volume "$PWD:/work" robust review quick
#
# TORCH_INDEX: an index with CPU wheels of torch (docs/ci.md); without one, pip brings torch with its CUDA libraries along.
FROM python:3.12-slim AS build
ARG TORCH_INDEX=""
WORKDIR /source
COPY constraints.txt ./
RUN python -m venv /opt/robust \
    && /opt/robust/bin/pip install --no-cache-dir --constraint constraints.txt \
       ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
COPY pyproject.toml README.md LICENSE ./
COPY robust robust
COPY attacks attacks
COPY defenses defenses
COPY scenarios scenarios
RUN /opt/robust/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.12-slim
RUN useradd --uid 1000 --create-home robust && mkdir /work && chown 1000:1000 /work
COPY --from=build /opt/robust /opt/robust
ENV PATH=/opt/robust/bin:$PATH PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
# a number: Kubernetes cannot tell from a name that it is not root's
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["robust"]
CMD ["--help"]
