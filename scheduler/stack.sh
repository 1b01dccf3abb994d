#!/usr/bin/env bash
# The stack of docker-compose.yml: stack.sh up|down|doctor|compose. With SIMULATED=1 it is another one,
# with data of its own, against the exchange simulator.
set -euo pipefail
cd "$(dirname "$0")/.."

# What the data are made with: a new one would let nobody in.
KEPT=(
    POSTGRES_PASSWORD METABASE_ENCRYPTION_KEY WAREHOUSE_METABASE_PASSWORD
    WAREHOUSE_METABASE_READER_PASSWORD
)
# What every `make up` gives to its login or service anew: a lost one is just made again.
RENEWED=(
    LOADER_PASSWORD TRANSFORMER_PASSWORD EXPORTER_PASSWORD METABASE_DB_PASSWORD
    WAREHOUSE_PAGE_PASSWORD
)
WAIT_SECONDS=900
MEMORY_MIB=3500
# From here on Compose knows all that the files say; 2.26 is what they were tried with.
COMPOSE_VERSION=2.21.0

PROJECT=${PROJECT:-bitso-warehouse}
FILES=(-f docker-compose.yml)
if [ -z "${SIMULATED:-}" ]; then
    ENV_FILE=${ENV_FILE:-.env}
else
    ENV_FILE=${ENV_FILE:-.env.simulated}
    PROJECT+=-simulated
    FILES+=(-f tests/docker-compose.simulated.yml)
fi

compose() {
    docker compose --env-file "$ENV_FILE" -p "$PROJECT" "${FILES[@]}" "$@"
}

# By the project's name alone, which does without .env.
containers() {
    docker compose -p "$PROJECT" ps --quiet "$@" 2> /dev/null
}

die() {
    echo "stack: $*" >&2
    exit 1
}

# The value that .env gives to a name; nothing where it has none.
value() {
    [ ! -f "$ENV_FILE" ] || sed -n "s/^$1=//p" "$ENV_FILE" | tail -n 1 | tr -d "'\"\r"
}

random() {
    # Letters and digits, so that it means the same to a shell, to Compose and in a URL; one digit
    # at least, which Metabase asks for.
    printf '%s7\n' "$(LC_ALL=C tr -dc 'A-Za-z0-9' < /dev/urandom | head -c 28 || true)"
}

# Of the names that are given, those without a value.
missing() {
    local name
    for name; do
        [ -n "$(value "$name")" ] || echo "$name"
    done
}

missing_secrets() {
    missing "${KEPT[@]}" "${RENEWED[@]}"
}

lost_secrets() {
    local missing
    missing=$(missing "${KEPT[@]}" | tr '\n' ' ')
    if [ -n "$missing" ] && docker volume inspect "${PROJECT}_warehouse-data" > /dev/null 2>&1; then
        echo "$ENV_FILE has no ${missing% }, but there is data made with it: bring the old $ENV_FILE back, or give the data up with 'docker volume rm ${PROJECT}_warehouse-data'"
    fi
}

write_secrets() {
    local name missing
    missing=$(missing_secrets)
    [ -n "$missing" ] || return 0
    (
        umask 077
        touch "$ENV_FILE"
        # One that was copied from the example may be open to others.
        chmod 600 "$ENV_FILE"
        for name in $missing; do
            # A line without a value would stand beside the new one.
            grep -v "^$name=" "$ENV_FILE" > "$ENV_FILE.new" || true
            cat "$ENV_FILE.new" > "$ENV_FILE"
            rm "$ENV_FILE.new"
        done
        [ ! -s "$ENV_FILE" ] || [ -z "$(tail -c 1 "$ENV_FILE")" ] || echo >> "$ENV_FILE"
        [ -s "$ENV_FILE" ] || echo "# Settings and secrets; .env.example tells what may stand here." >> "$ENV_FILE"
        for name in $missing; do
            echo "$name=$(random)" >> "$ENV_FILE"
        done
        # So that `dashboards plan`, typed outside, means the same connection.
        [ -n "$(value WAREHOUSE_METABASE_READER_HOST)" ] ||
            echo "WAREHOUSE_METABASE_READER_HOST=warehouse" >> "$ENV_FILE"
    )
    echo "made $(echo "$missing" | wc -l | tr -d ' ') secrets in $ENV_FILE"
}

# Prints a line for each thing that is wrong with .env.
env_problems() {
    local number=0 line name seen=" "
    [ -f "$ENV_FILE" ] || return 0
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        case $line in
            *$'\r') echo "$ENV_FILE, line $number: ends with a carriage return: save it with Unix line ends" ;;
        esac
        case $line in
            '' | '#'* | $'\r') continue ;;
        esac
        name=${line%%=*}
        if [ "$name" = "$line" ] || ! [[ $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]]; then
            echo "$ENV_FILE, line $number: is not NAME=value"
            continue
        fi
        case $seen in
            *" $name "*) echo "$ENV_FILE, line $number: $name stands twice" ;;
        esac
        seen+="$name "
        # Compose would quote it in its error, from there to the end of the file.
        if [[ ${line#*=} =~ ^(\'[^\']*|\"[^\"]*)$ ]]; then
            echo "$ENV_FILE, line $number: $name begins with a quote that does not end"
        fi
    done < "$ENV_FILE"
    if [ -n "$(find "$ENV_FILE" \( -perm -040 -o -perm -004 \))" ] && [ -n "$(value POSTGRES_PASSWORD)" ]; then
        echo "$ENV_FILE holds secrets and others may read it: chmod 600 $ENV_FILE"
    fi
    for name in POSTGRES_PORT METABASE_PORT PAGE_PORT; do
        line=$(value "$name")
        if [ -n "$line" ] && ! { [[ $line =~ ^[0-9]{1,5}$ ]] && [ "$line" -ge 1 ] && [ "$line" -le 65535 ]; }; then
            echo "$ENV_FILE: $name is no port: $line"
        fi
    done
}

docker_problems() {
    if ! command -v docker > /dev/null; then
        echo "Docker is not installed: see https://docs.docker.com/get-docker/ (or use make run, without Docker)"
        return
    fi
    if ! docker info > /dev/null 2>&1; then
        echo "the Docker engine is not running, or this user may not use it: $(docker info 2>&1 | tail -n 1)"
        return
    fi
    local version mib
    version=$(docker compose version --short 2> /dev/null | sed 's/^v//; s/[-+].*//')
    if [ -z "$version" ]; then
        echo "Docker has no Compose v2 (docker compose): install its plugin"
    elif [ "$(printf '%s\n' "$COMPOSE_VERSION" "$version" | sort -V | head -n 1)" != "$COMPOSE_VERSION" ]; then
        echo "Docker Compose $version is too old: $COMPOSE_VERSION or newer is needed"
    fi
    mib=$(($(docker info --format '{{.MemTotal}}') / 1024 / 1024))
    [ "$mib" -ge $MEMORY_MIB ] || echo "Docker has $mib MiB of memory: the stack may use $MEMORY_MIB"
}

# A port is free, ours, or a problem.
port_problem() {
    local name=$1 service=$2 port
    port=$(value "$1")
    port=${port:-$3}
    [[ $port =~ ^[0-9]{1,5}$ ]] || return 0
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null || return 0
    # Not asked of Compose, which will not answer while .env lacks a secret.
    [ -z "$(docker ps --quiet --filter "label=com.docker.compose.project=$PROJECT" \
        --filter "label=com.docker.compose.service=$service" 2> /dev/null)" ] || return 0
    echo "port $port is taken by another program: put $name=... with a free one into $ENV_FILE"
}

problems() {
    local found
    found=$(docker_problems)
    [ -z "$found" ] || echo "$found"
    env_problems
    port_problem POSTGRES_PORT warehouse 5432
    port_problem METABASE_PORT metabase 3000
    port_problem PAGE_PORT page 8080
    [ -n "$found" ] || lost_secrets
    if [ -z "$found" ] && [ -z "$(env_problems)" ] && [ -z "$(missing_secrets)" ]; then
        # What it quotes may be a secret.
        { compose config --quiet 2>&1 || true; } | head -n 1 |
            sed -E 's/(unterminated quoted value|in variable name).*/\1/'
    fi
}

running_problems() {
    local id
    for id in $(containers --all); do
        docker inspect --format \
            '{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{end}}' "$id"
    done | awk '
        $2 == "exited" && $3 == 0 { next }
        $2 == "exited" { print $1 " ended with exit code " $3; next }
        $2 == "restarting" { print $1 " ends again and again"; next }
        $4 == "unhealthy" { print $1 " is unhealthy" }
    '
}

doctor() {
    local found
    found=$(problems)
    [ -n "$found" ] || found=$(running_problems)
    if [ -n "$found" ]; then
        echo "$found" >&2
        exit 1
    fi
    if [ -n "$(containers)" ]; then
        echo "all is well"
    else
        echo "all is well; nothing is running: make up"
    fi
}

up() {
    local found id deadline inbox health
    found=$(problems)
    [ -z "$found" ] || die "$found"
    write_secrets
    inbox=$(value INBOX)
    # Readable by the jobs, who are somebody else.
    [ -d "${inbox:-inbox}" ] || install -d -m 0755 "${inbox:-inbox}"
    compose up --detach --build --remove-orphans ||
        die "it did not come up: $(running_problems | tr '\n' ';') look at 'docker compose -p $PROJECT logs'"
    echo "waiting for the dashboards"
    id=$(compose ps --all --quiet provision)
    deadline=$((SECONDS + WAIT_SECONDS))
    while :; do
        case "$(docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$id")" in
            "exited 0") break ;;
            exited*) die "the dashboards could not be made: $(docker logs --tail 1 "$id" 2>&1)" ;;
        esac
        [ $SECONDS -lt $deadline ] || die "the dashboards are not made yet after $WAIT_SECONDS s: see 'docker compose -p $PROJECT logs provision'"
        sleep 1
    done
    while :; do
        health=$(compose ps --format '{{.Health}}') || die "Compose does not say how they are: make doctor"
        echo "$health" | grep . | grep -qv '^healthy$' || break
        found=$(running_problems)
        [ -z "$found" ] || die "$found"
        [ $SECONDS -lt $deadline ] || die "not everything is healthy after $WAIT_SECONDS s: make doctor"
        sleep 1
    done
    docker logs --tail 1 "$id"
    echo
    found=$(value PAGE_PORT)
    echo "Live page: http://localhost:${found:-8080}"
    echo "  account  any name"
    echo "  password WAREHOUSE_PAGE_PASSWORD in $ENV_FILE"
    found=$(value METABASE_PORT)
    echo "Metabase:  http://localhost:${found:-3000}"
    echo "  account  $(value WAREHOUSE_METABASE_EMAIL | grep . || echo admin@example.com)"
    echo "  password WAREHOUSE_METABASE_PASSWORD in $ENV_FILE"
}

case ${1:-} in
    up) up ;;
    # By name alone: it works without .env as well.
    down) docker compose -p "$PROJECT" down --remove-orphans ;;
    doctor) doctor ;;
    compose) shift && compose "$@" ;;
    *) die "up, down, doctor or compose" ;;
esac
