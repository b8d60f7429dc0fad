#!/bin/sh
# start.sh PASSWORD_FILE FOLDER [OPTION ...]: starts Redis with the users of users.acl (in this folder) and with OPTIONs.
# The hash of the password goes into FOLDER, which should be a tmpfs; the password itself is not written.
set -eu
umask 077
here="$(cd "$(dirname "$0")" && pwd)"
password="$(cat "$1")"
[ -n "$password" ] || { echo "Expected the password of Redis in $1, found nothing." >&2; exit 2; }
hash="$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)"
folder="$(cd "$2" && pwd)"
sed "s/PASSWORD_SHA256/$hash/" "$here/users.acl" > "$folder/users.acl"
shift 2
exec redis-server "$here/redis.conf" --aclfile "$folder/users.acl" "$@"
