#!/bin/sh
# Makes .venv and installs one lock into it: tools/install.sh runtime|dev. A second run with the same lock does nothing.
set -eu

lock_name=$1
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE # compiled files are what makes the next start fast
python=.venv/bin/python
lock=requirements/$lock_name.lock
stamp=.venv/installed-$lock_name
packages="core config adapters registry cache storage bus exchange gateway console server cli customer insight"

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "make install: no Python 3.11 or newer found; install one, or name it: make install PYTHON=/path/to/python3" >&2
    exit 1
}

make_venv() {
    found=$(find_python)
    echo "make install: making .venv with $("$found" --version)"
    "$found" -m venv --clear .venv || {
        echo "make install: $found can't make a virtual environment; on Debian: apt-get install python3-venv" >&2
        exit 1
    }
}

# pyodbc needs the ODBC driver manager, which no Python package carries; only the SQL Server adapter uses it.
ensure_odbc() {
    "$python" -c 'import ctypes; ctypes.CDLL("libodbc.so.2")' 2>/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "make install: installing Debian's unixodbc for the SQL Server adapter"
        install="apt-get install -y -qq --no-install-recommends unixodbc"
        DEBIAN_FRONTEND=noninteractive $install >/dev/null 2>&1 ||
            { apt-get update -qq && DEBIAN_FRONTEND=noninteractive $install >/dev/null; } && return
    fi
    echo "make install: libodbc.so.2 is missing (Debian's unixodbc): SQL Server sources won't connect; all else works"
}

"$python" -c '' 2>/dev/null || make_venv
wanted=$("$python" --version) wanted="$wanted $(cksum <"$lock")"
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "make install: installing $lock"
    "$python" -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r "$lock"
    ensure_odbc || true
    printf '%s\n' "$wanted" >"$stamp"
    if [ "$lock_name" = dev ]; then # the development lock holds every pin of the runtime lock
        printf '%s\n' "$("$python" --version) $(cksum <requirements/runtime.lock)" >.venv/installed-runtime
    fi
fi
# The hot path in C where there is a compiler; without one the sources do the same, slower. Never a reason to fail.
# shellcheck disable=SC2046  # no word where nothing is printed
"$python" tools/compile.py $([ "$lock_name" = runtime ] || echo --quiet) ||
    echo "make install: hot path: pure Python (tools/compile.py failed)"
# Only a faster first start: a file that does not compile is reported by what imports or checks it.
# shellcheck disable=SC2046  # words on purpose
"$python" -m compileall -qq $(for package in $packages; do [ -d "$package" ] && echo "$package"; done) || true
