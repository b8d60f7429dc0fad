#!/bin/sh
# Installs what tests need and pip cannot bring, where we may; elsewhere those tests are skipped (and fail in CI).
updated=""

need() {
    package="$1"
    for program in "$@"; do
        command -v "$program" > /dev/null && return
    done
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
        [ -n "$updated" ] || apt-get update -qq
        updated=yes
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" > /dev/null && return
    fi
    echo "$package is not installed: tests that need it are skipped; install it to run them."
}

need redis-server # 7 or newer, with TLS
need nodejs node # 20.9 or newer
need npm
need systemd systemd-analyze
need chromium chromium-browser google-chrome
