#!/bin/sh
# All tests, or with arguments those that pytest is told to run. All of them are run in two halves beside each other:
# the hostile cases, brokers and workers, which wait more than they work, and the rest, then what is over sockets on the
# portable engine.
set -u
cd "$(dirname "$0")/.."
pytest() { .venv/bin/python -m pytest "$@"; }
hostile='tests/hostile tests/faults tests/soak tests/chaos tests/topics/brokers tests/test_workers.py
    tests/test_rolling_restart.py tests/test_worker_topics.py tests/test_local_nats.py tests/test_cli.py'

if [ $# -gt 0 ]; then
    pytest "$@"
    exit
fi
mkdir -p build
pytest --quiet $hostile >build/hostile.log 2>&1 &
pytest $(printf -- '--ignore=%s ' $hostile)
rest=$?
# shellcheck disable=SC2086 # the patterns are to be names of files
WSMASH_ENGINE=portable pytest --quiet --ignore=tests/runtime/test_engines_agree.py tests/runtime tests/interop \
    tests/transports/test_budget.py tests/test_[achr]*.py tests/test_budget.py tests/test_downloads.py \
    tests/test_pro*.py tests/test_s*.py tests/test_trusted*.py
portable=$?
wait $!
others=$?
cat build/hostile.log
[ "$rest" = 0 ] && [ "$portable" = 0 ] && [ "$others" = 0 ]
