#!/bin/sh
# healthy.sh PASSWORD_FILE [OPTION ...]: whether Redis answers Hangtag's user; options are redis-cli's, such as -p PORT.
set -eu
REDISCLI_AUTH="$(cat "$1")"
export REDISCLI_AUTH
shift
[ "$(redis-cli --user hangtag "$@" ping)" = PONG ]
