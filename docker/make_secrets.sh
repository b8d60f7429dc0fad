#!/bin/sh
# make_secrets.sh FOLDER NAME: the passwords of Redis and of the page, and a certificate for Redis on the host NAME with the
# authority (ca.pem) that vouches for it for 825 days. Existing files stay: remove a file to make a new one.
# Containers have other users, so everybody can read the files; the folder keeps people out.
set -eu
umask 077
folder="$1" name="$2"
mkdir -p "$folder"
cd "$folder"
for secret in redis_password web_token; do
    [ -s "$secret" ] || head -c 32 /dev/urandom | sha256sum | cut -c 1-64 > "$secret"
done
key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
# shellcheck disable=SC2086 # the key's options are words
{
    [ -s ca.pem ] || openssl req -x509 $key -days 3650 -subj "/CN=Hangtag" \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.pem 2> /dev/null
    [ -s redis.pem ] || {
        openssl req $key -subj "/CN=$name" -keyout redis.key -out redis.csr 2> /dev/null
        printf 'subjectAltName=DNS:%s\nauthorityKeyIdentifier=keyid\nextendedKeyUsage=serverAuth\n' "$name" > redis.ext
        openssl x509 -req -in redis.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 -extfile redis.ext \
            -out redis.pem 2> /dev/null
        rm -f redis.csr redis.ext
    }
}
chmod 444 redis_password web_token ca.pem redis.pem redis.key
