#!/usr/bin/env bash
# Makes a virtual environment with callrec-pbx in it: for the checkout, the image and a server.
# Usage: install-callrec.sh [--dev] VENV SOURCE
#   SOURCE  a wheel, or a checkout
#   --dev   install the checkout itself, editable, with all that its tests need
# PYTHON names the interpreter; without it the first of the PATH that is new enough is taken.
# pip asks whichever index this machine is configured for. Progress goes to stderr.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
say() { printf 'install-callrec: %s\n' "$*" >&2; }

dev=
if [ "${1:-}" = --dev ]; then
    dev=yes
    shift
fi
if [ $# != 2 ]; then
    sed -n 's/^# Usage: /usage: /p' "$0" >&2
    exit 2
fi
venv=$1
source=$2

find_python() {
    local python
    for python in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$python"
            return
        fi
    done
    return 1
}

# One that was moved, or whose interpreter is gone, is of no use.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python) || { "$here/get-tools.sh" venv && python=$(find_python); } || {
        say "no Python 3.11 or later here: install one, or name it, such as PYTHON=/opt/python/bin/python3"
        exit 1
    }
    "$python" -c 'import ensurepip, venv' 2>/dev/null || "$here/get-tools.sh" venv
    say "making $venv with $("$python" -V)"
    "$python" -m venv --clear "$venv" || {
        say "$python cannot make a virtual environment: install its venv package (python3-venv on Debian)"
        exit 1
    }
fi

say "installing $source${dev:+ with what its tests need} (takes a minute the first time)"
pip=("$venv/bin/python" -m pip --disable-pip-version-check -qq install)
if [ -z "$dev" ]; then
    "${pip[@]}" "$source"
else
    # pip knows dependency groups from 25.1 on only.
    mapfile -t group < <("$venv/bin/python" - "$source/pyproject.toml" <<'PYTHON'
import sys, tomllib

with open(sys.argv[1], "rb") as file:
    print(*tomllib.load(file)["dependency-groups"]["dev"], sep="\n")
PYTHON
    )
    "${pip[@]}" --editable "$source" "${group[@]}"
fi
