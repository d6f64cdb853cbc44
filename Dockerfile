# The image of the ATLAS Governance Gateway; ./setup.sh builds and runs it. Settings and keys come at run time.
ARG BASE=python:3.13-slim
FROM ${BASE}

ENV ATLAS_HOST=0.0.0.0 \
    ATLAS_DATA_DIR=/data \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

# The number is fixed so that a bind mount for /data can be given to it.
RUN groupadd --system --gid 10001 atlas \
    && useradd --system --uid 10001 --gid atlas --home-dir /data --no-create-home atlas \
    && install --directory --owner=atlas --group=atlas --mode=0700 /data

WORKDIR /app
COPY requirements.txt ./
RUN python -m pip install --no-cache-dir --root-user-action=ignore --requirement requirements.txt

# A checkout made under umask 077 is readable to its owner only, and the gateway is another user.
COPY gateway.py workflows.py ./
COPY atlas atlas
RUN chmod -R a+rX,go-w /app

USER 10001:10001
VOLUME /data
EXPOSE 8000

# Asked of the gateway itself, without a proxy that the environment may name.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('ATLAS_PORT') or 8000), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]

CMD ["python", "gateway.py"]
