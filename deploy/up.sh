#!/usr/bin/env bash
# Starts several gateways with all that they need: deploy/up.sh HOST, where HOST is the name under which agents and
# people reach them. Again without HOST: starts what is new. Secrets and settings are in deploy/secrets and deploy/.env.
set -euo pipefail && umask 077
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
owner=$(id -u):0
[[ $(docker info --format '{{.SecurityOptions}}') != *name=rootless* ]] || owner=0:0 # root there is this user

image=${GATEWAY_IMAGE:-atlas-gateway}
docker build --tag "$image" ..
docker run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL --user "$owner" \
    --mount "type=bind,source=$PWD,target=/deploy" "$image" python -m atlas.configure several /deploy "$@"
chmod a+r balancer/haproxy.cfg postgres/roles.sh # other users read them in their containers
docker compose up --detach --wait --remove-orphans
docker compose ps
