# What both runs stand on: sourced by `run` and `upgrade`, which say which images, which address and which project.
COMPOSE=${COMPOSE:-docker compose}
export HTTP_PORT=${HTTP_PORT:-10080} HTTPS_PORT=${HTTPS_PORT:-10443}
export EDGE_SUBNET=${EDGE_SUBNET:-172.31.232.0/28}  # beside an installation that has the usual one
export APP_IMAGE=${APP_IMAGE:-limner:check} OPS_IMAGE=${OPS_IMAGE:-limner-ops:check}
export ALLINONE_IMAGE=${ALLINONE_IMAGE:-limner-allinone:check}
url=https://localhost$([ "$HTTPS_PORT" = 443 ] || echo ":$HTTPS_PORT")
studio=$APP_IMAGE

say() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }
fail() { printf 'containers: %s\n' "$*" >&2; exit 1; }

docker version >/dev/null 2>&1 || fail "no Docker engine answers. Start one, or tell where it is by DOCKER_HOST."
$COMPOSE version >/dev/null 2>&1 || fail "'$COMPOSE' does not work. Which is your Compose? COMPOSE='docker compose'"

# As a visitor would: from outside, through the published port.
outside() { docker run --rm --network host --read-only --tmpfs /tmp "$@"; }
paint() { outside "$studio" demo --url "$url" --insecure --prompt "$1" --out /tmp/picture.png; }

people_ask() {
  docker run -d --name limner-knock --network host --entrypoint python "$studio" \
    -c "$(cat tests/containers/knock.py)" "$url" >/dev/null
}
nobody_was_lost() {
  docker stop -t 60 limner-knock >/dev/null
  docker logs limner-knock
  [ "$(docker inspect -f '{{.State.ExitCode}}' limner-knock)" = 0 ] || fail "requests were lost"
  docker rm limner-knock >/dev/null
}
