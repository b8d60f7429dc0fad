#!/bin/sh
# Installs what tests need and pip cannot bring, where we may; elsewhere those tests are skipped (and fail in CI).
command -v redis-server > /dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server > /dev/null && exit 0
fi
echo "redis-server (7 or newer) is not installed: tests that need it are skipped; install it to run them."
