#!/bin/sh
# Make or refresh a virtual environment with the package, editable, and a dependency group of pyproject.toml.
#   make_venv.sh FOLDER [GROUP [VERSION]]      PYTHON=... chooses the interpreter
set -eu
cd "$(dirname "$0")/.."
folder=$1 group=${2:-dev} version=${3:-}

if ! "$folder/bin/python" -c '' 2>/dev/null; then
    python=${PYTHON:-$(sh tools/find_python.sh "$version")}
    echo "making $folder with $("$python" --version)"
    "$python" -m venv --clear "$folder"
fi
pip() { "$folder/bin/python" -m pip --quiet --disable-pip-version-check install "$@"; }
sh tools/install_compiler.sh "$folder/bin/python"
pip 'pip>=25.1' # the first that knows dependency groups
pip --editable . --group "$group"
touch "$folder/ready"
