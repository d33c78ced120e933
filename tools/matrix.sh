#!/bin/sh
# Run the tests, those in a browser apart, on each supported Python that is found here, but for the one in .venv.
#   matrix.sh [PYTEST_ARGUMENT...]
set -u
cd "$(dirname "$0")/.."
failed=
done_before=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])') || exit 1

for version in 3.11 3.12 3.13 3.14; do
    [ "$version" = "$done_before" ] && continue
    if ! sh tools/find_python.sh "$version" >/dev/null 2>&1; then
        echo "== Python $version: not found, not tested"
        continue
    fi
    echo "== Python $version"
    if [ ! ".venv-$version/ready" -nt pyproject.toml ]; then
        env -u PYTHON sh tools/make_venv.sh ".venv-$version" test "$version" || { failed="$failed $version"; continue; }
    fi
    sh tools/build_native.sh ".venv-$version" || { failed="$failed $version"; continue; }
    ".venv-$version/bin/python" -m pytest --ignore tests/browser "$@" || failed="$failed $version"
done
[ -z "$failed" ] || { echo "failed on:$failed"; exit 1; }
