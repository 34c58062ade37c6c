#!/bin/sh
# Fuzzes the parsers with atheris, each target for so many seconds: tools/fuzz.sh [SECONDS]. What breaks one is left in build/fuzz.
set -eu

cd "$(dirname "$0")/.."
seconds=${1:-60}
python=.venv-fuzz/bin/python
wanted=$(cat requirements/dev.lock requirements/fuzz.lock | cksum)

if [ "$(cat .venv-fuzz/installed 2>/dev/null)" != "$wanted" ]; then
    .venv/bin/python -m venv --clear .venv-fuzz
    "$python" -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock -r requirements/fuzz.lock || {
        echo "make fuzz: atheris has no build for this machine; it has for CPython 3.11 to 3.13 on Linux x86-64" >&2
        exit 1
    }
    printf '%s\n' "$wanted" >.venv-fuzz/installed
fi
for module in wire access; do
    for target in $("$python" -m "tests.fuzz.$module"); do
        echo "make fuzz: $target for $seconds s"
        "$python" -m "tests.fuzz.$module" "$target" "build/fuzz/$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 \
            -artifact_prefix="build/fuzz/$target-" -print_final_stats=1 -verbosity=0 || {
            echo "make fuzz: $target failed; the input is in build/fuzz/$target-*" >&2
            exit 1
        }
    done
done
echo "make fuzz: nothing found"
