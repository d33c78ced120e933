#!/bin/sh
# Build the native modules in place for the Python of a virtual environment, where what they are made of has changed.
#   build_native.sh FOLDER
# Where there is a compiler, and in CI, a build that fails is an error; WSMASH_BUILD says otherwise.
set -eu
cd "$(dirname "$0")/.."
python=$1/bin/python stamp=$1/native

if [ -e "$stamp" ] && [ -e "$(cat "$stamp")" ] &&
    [ -z "$(find setup.py native src/wsmash/_native -newer "$stamp" \
        \( -name setup.py -o -name '*.[ch]' -o -name '*.p[xy][dix]' \))" ]; then
    exit 0
fi
if [ -z "${WSMASH_BUILD:-}" ] && { [ "${CI:-}" = true ] || command -v "${CC:-gcc}" >/dev/null; }; then
    export WSMASH_BUILD=native
fi
rm -f "$stamp"
touch "$stamp.begun" # what changes while it is built is built next time
"$python" setup.py --quiet build_ext --inplace
if built=$("$python" -c 'from wsmash._native import engine; print(engine.__file__)' 2>/dev/null); then
    echo "$built" >"$stamp"
    touch -r "$stamp.begun" "$stamp"
fi
