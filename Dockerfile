# One image, several commands: `carteiro run SERVICE`, `migrate`, `topics apply`, the operator's commands.
# `make image` builds it. A private CA comes as a build secret (--secret id=ca,src=FILE), wheels of a machine without
# an index as a named context (--network none --build-context wheels=FOLDER); neither stays in the image.
ARG BASE=python:3.13-slim
ARG BUILD_BASE=${BASE}
FROM scratch AS wheels

FROM ${BUILD_BASE} AS build
WORKDIR /app
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CACHE_DIR=/cache
RUN python3 -m venv .venv && python3 -m venv /build
COPY requirements.lock requirements-build.lock ./
RUN --mount=type=cache,target=/cache --mount=type=secret,id=ca --mount=from=wheels,target=/wheels \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    if ls /wheels/*.whl > /dev/null 2>&1; then export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels; fi; \
    .venv/bin/pip install -q --require-hashes --no-deps --only-binary :all: -r requirements.lock \
    && /build/bin/pip install -q --require-hashes --no-deps --only-binary :all: -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY services services
COPY shared shared
COPY ops ops
RUN /build/bin/python -m hatchling build -t wheel \
    && .venv/bin/pip install -q --no-index --no-deps dist/*.whl \
    && .venv/bin/python -m pip uninstall -qy pip setuptools

FROM ${BASE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Carteiro" \
      org.opencontainers.image.description="Turns a company's mailboxes into a ticket system that never loses a mail" \
      org.opencontainers.image.licenses="GPL-3.0-only" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH TMPDIR=/scratch PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 CARTEIRO_REVISION=${REVISION}
# the object store of an installation of one machine (CARTEIRO_OBJECTS); a volume there takes its owner over
RUN install -d -o 10001 -g 10001 /var/lib/carteiro/objects
# a number: runAsNonRoot cannot judge a name
USER 10001:10001
WORKDIR /app
EXPOSE 8080
STOPSIGNAL SIGTERM
# for compose; Kubernetes has probes of its own
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=2s CMD ["python3", "-I", "-m", "ops.healthcheck"]
ENTRYPOINT ["carteiro"]
CMD ["run", "all"]
