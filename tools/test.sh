#!/bin/sh
# All tests, or with arguments those that pytest is told to run. All of them are run in three parts beside each other:
# the hostile cases, and brokers and workers, which both wait more than they work, and the rest, then what is over
# sockets on the portable engine.
set -u
cd "$(dirname "$0")/.."
pytest() { .venv/bin/python -m pytest "$@"; }
hostile='tests/hostile tests/faults tests/soak tests/chaos'
processes='tests/topics/brokers tests/test_workers.py tests/test_rolling_restart.py tests/test_worker_topics.py
    tests/test_local_nats.py tests/test_cli.py'

if [ $# -gt 0 ]; then
    pytest "$@"
    exit
fi
mkdir -p build
pytest --quiet $hostile >build/hostile.log 2>&1 &
hostile_run=$!
pytest --quiet $processes >build/processes.log 2>&1 &
processes_run=$!
# shellcheck disable=SC2086,SC2046 # the patterns are to be names of files
pytest $(printf -- '--ignore=%s ' $hostile $processes)
rest=$?
# shellcheck disable=SC2086 # the patterns are to be names of files
WSMASH_ENGINE=portable pytest --quiet --ignore=tests/runtime/test_engines_agree.py tests/runtime tests/interop \
    tests/transports/test_budget.py tests/test_[achr]*.py tests/test_budget.py tests/test_downloads.py \
    tests/test_pro*.py tests/test_s*.py tests/test_trusted*.py
portable=$?
wait $hostile_run
others=$?
wait $processes_run
brokers=$?
cat build/hostile.log build/processes.log
[ "$rest" = 0 ] && [ "$portable" = 0 ] && [ "$others" = 0 ] && [ "$brokers" = 0 ]
