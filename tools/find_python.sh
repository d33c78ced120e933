#!/bin/sh
# Print the path of a Python that the package supports and that can make virtual environments.
#   find_python.sh        the first that is 3.11 or newer, on PATH or in ~/.pyenv
#   find_python.sh 3.12   one of just this version
set -u
wanted=${1:-}

path_of() {
    "$1" -c 'import ensurepip, sys, venv
found, wanted = "%d.%d" % sys.version_info[:2], sys.argv[1]
if found != wanted if wanted else sys.version_info < (3, 11):
    sys.exit(1)
print(sys.executable)' "$wanted" 2>/dev/null
}

for version in ${wanted:-3.13 3.12 3.11 3}; do
    path_of "python$version" && exit 0
done
for version in ${wanted:-3.13 3.12 3.11 3.14}; do
    for candidate in "$HOME"/.pyenv/versions/"$version"*/bin/python; do
        path_of "$candidate" && exit 0
    done
done
echo "no Python ${wanted:-3.11 or newer} with venv and pip found on PATH or in ~/.pyenv;" \
    "install one (Debian: apt-get install python3 python3-venv), or name it: PYTHON=/path/to/python make ..." >&2
exit 1
