# One image for every role: `gateway` (the default), `worker`, or any other command of `ringback`.
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements/bootstrap.txt requirements/run.txt requirements/
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt \
 && python -m venv --without-pip /opt/ringback \
 && uv pip install --no-cache --compile-bytecode --python /opt/ringback/bin/python --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY jobs jobs
COPY amazon amazon
COPY prompts prompts
COPY providers providers
COPY speech speech
COPY conversations conversations
COPY workers workers
COPY gateway gateway
COPY ringback ringback
RUN uv build --no-cache --wheel --no-build-isolation --out-dir /tmp/wheel \
 && uv pip install --no-cache --compile-bytecode --python /opt/ringback/bin/python --no-deps /tmp/wheel/*.whl

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/ringback ringback
COPY --from=build /opt/ringback /opt/ringback
ENV PATH="/opt/ringback/bin:$PATH" \
    RINGBACK_HOST=0.0.0.0 \
    RINGBACK_PORT=8000 \
    RINGBACK_DATA_DIR=/var/lib/ringback \
    RINGBACK_LOG_FORMAT=json
USER ringback
WORKDIR /var/lib/ringback
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['RINGBACK_PORT'] + '/health/ready', timeout=4)"]
ENTRYPOINT ["ringback"]
CMD ["gateway"]
