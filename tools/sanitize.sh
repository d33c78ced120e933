#!/bin/sh
# Run tests on native modules that were built with AddressSanitizer and UndefinedBehaviorSanitizer, in a copy of the sources.
#   sanitize.sh [PYTEST_ARGUMENT...]      those of the native code and of what runs on it, where none are named
# A fault ends the run with its report. Leaks are not looked for: the interpreter itself keeps what it has until its end,
# and tests/transports/test_leaks.py looks for ours.
set -eu
cd "$(dirname "$0")/.."
copy=build/sanitize
python=$PWD/.venv/bin/python
libraries=
for each in libasan.so libubsan.so; do
    path=$(gcc -print-file-name="$each")
    [ -e "$path" ] || { echo "gcc has no $each here: nothing was sanitized"; exit 1; }
    libraries="$libraries $path"
done

mkdir -p "$copy"
# Without what git does not know of, the modules of the ordinary build above all. Times are kept, so that only what has
# changed is built again.
git ls-files --cached --others --exclude-standard | tar --create --files-from - | tar --extract --directory "$copy"
ln -sfn "$PWD/tests/interop/node/node_modules" "$copy/tests/interop/node/node_modules"
cd "$copy"
WSMASH_BUILD=native \
    WSMASH_CFLAGS='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1' \
    "$python" setup.py --quiet build_ext --inplace
# The rest is about documents, tools and packages, and starts programs without what is set here.
[ $# -gt 0 ] || set -- tests/sansio tests/runtime tests/transports tests/native tests/interop \
    tests/test_[achr]*.py tests/test_pro*.py tests/test_s*.py
LD_PRELOAD=${libraries# } PYTHONMALLOC=malloc WSMASH_ENGINE=native WSMASH_SANITIZED=1 \
    ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
    "$python" -m pytest --timeout 600 "$@"
