#!/bin/sh
# Runs a command for `make run` so that Ctrl-C ends it, and make with it, with the command's own exit status.
#
# make dies of SIGINT even when its child handles the signal and ends well. On a terminal the command therefore gets
# the foreground as a process group of its own: Ctrl-C reaches it alone, and make sees an ordinary end.
if [ -t 0 ]; then
    trap '' TSTP # Ctrl-Z would leave a stopped node behind that nothing could resume
    set -m
    "$@"
else
    exec "$@"
fi
