#!/bin/sh
# Install what tests need from outside pip, where this machine lets us: npm's `ws`, Debian's Chromium and Redis server.
#   install_peers.sh [npm]      with "npm" only what comes from there
# What is missing afterwards is no failure here: the tests that need it are skipped, and the run's last lines say why.
set -u
cd "$(dirname "$0")/.."

node=tests/interop/node
if [ ! "$node/node_modules/.package-lock.json" -nt "$node/package.json" ] && command -v npm >/dev/null; then
    (cd "$node" && npm install --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error) ||
        echo "npm could not install the peers of $node"
fi
missing=
[ -x /usr/bin/chromium ] || missing=chromium
command -v redis-server >/dev/null || missing="$missing redis-server"
if [ "${1:-}" != npm ] && [ -n "$missing" ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    # shellcheck disable=SC2086 # the names of packages
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing; } \
        >/dev/null || echo "apt-get could not install $missing"
fi
exit 0
