#!/usr/bin/env bash
# Starts several gateways with all that they need: deploy/up.sh HOST, where HOST is the name under which agents and
# people reach them. Again without HOST: what has changed is put in place, one gateway after the other. Secrets and
# settings are in deploy/secrets and deploy/.env.
set -euo pipefail && umask 077
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
owner=$(id -u):0
[[ $(docker info --format '{{.SecurityOptions}}') != *name=rootless* ]] || owner=0:0 # root there is this user

# As Compose reads it: from the environment, else from .env.
known() { [[ ! -f .env ]] || sed -n "s/^$1=[\"']\{0,1\}\([^\"' #]*\).*/\1/p" .env | tail -n 1; }
image=${GATEWAY_IMAGE:-$(known GATEWAY_IMAGE)}
image=${image:-atlas-gateway}
docker build --tag "$image" ..
docker run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL --user "$owner" \
    --mount "type=bind,source=$PWD,target=/deploy" "$image" python -m atlas.configure several /deploy "$@"
chmod a+r balancer/haproxy.cfg postgres/roles.sh # other users read them in their containers

once() { docker compose run --rm --no-deps --no-TTY migrate "$@" </dev/null; }
once python -c 'import gateway' # a mistake in the policy or in the file of the servers is told before anything stops

# Compose does not see that a mounted file has changed, but that a label has: compose.yaml has GATEWAY_FILES as a label.
note() { printf '%s\n' "$(grep -v "^$1=" .env)" "$1=$2" >.env.new && mv .env.new .env; }
files=$(once sh -c 'cat /app/.env /policy.toml /mcp.json | sha256sum | cut -d " " -f 1')
policy=$(once sh -c 'test ! -s /policy.toml || sha256sum /policy.toml | cut -d " " -f 1')
note GATEWAY_FILES "$files"

# One gateway serves while the other one is replaced.
docker compose up --detach --wait gateway-1
docker compose up --detach --wait gateway-2
docker compose up --detach --wait --remove-orphans
# All gateways judge by the policy that their database keeps. One that was put there by hand since stays.
if [[ -n $policy && $policy != "$(known POLICY_PUT)" ]]; then
    docker compose exec --no-TTY gateway-1 python -m atlas.assessors.policy put /policy.toml --by "$(id -un)" </dev/null
    note POLICY_PUT "$policy"
fi
docker compose ps
