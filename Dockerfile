# The image of the ATLAS Governance Gateway; ./setup.sh builds and runs it. Settings and keys come at run time.
ARG BASE=python:3.13-slim
FROM ${BASE}

# HOME is there for a user without an entry in /etc/passwd. .env has one reader, and FastMCP is none.
ENV ATLAS_HOST=0.0.0.0 \
    ATLAS_DATA_DIR=/data \
    HOME=/tmp \
    FASTMCP_ENV_FILE=/dev/null \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

# Group 0 may write: OpenShift runs a container as an arbitrary user of that group.
RUN install --directory --owner=10001 --group=0 --mode=0770 /data

WORKDIR /app
# Each file of a package is the one whose hash is in the list (deploy/lock.sh), or the image is not built. What a base
# brings along is left where it is: pip cannot remove what Debian installed.
COPY requirements.lock sbom.cdx.json* ./
RUN python -m pip install --no-cache-dir --root-user-action=ignore --ignore-installed \
    --require-hashes --requirement requirements.lock

# A checkout made under umask 077 is readable to its owner only, and the gateway is another user.
COPY gateway.py workflows.py test_handshake.py compose.yaml .env.example ./
COPY atlas atlas
RUN chmod -R a+rX,go-w /app && python -m compileall -q .

USER 10001:0
VOLUME /data
EXPOSE 8000

HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD ["python", "-m", "atlas.configure.alive"]

# What is installed says what it is; deploy/image.sh fills in the last two, and adds the bill of materials.
ARG BASE
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="ATLAS Governance Gateway" \
    org.opencontainers.image.description="An MCP gateway that holds AI agents' tool calls until a policy or a person has decided." \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.base.name="${BASE}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"

# A SIGHUP, which asks for the policy to be read again, would end a gateway that has only begun to start.
CMD ["sh", "-c", "trap '' HUP; exec python gateway.py"]
