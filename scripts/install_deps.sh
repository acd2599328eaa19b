#!/bin/sh
# Installs what the build and the tests need, from Debian's packages. Does nothing, and asks for nothing, when all is there.
set -eu
packages="gcc g++ make pkg-config xz-utils libc6-dev libhdf5-dev hdf5-tools libdnnl-dev libonnx-dev protobuf-c-compiler libprotobuf-c-dev
 libcjson-dev libcmocka-dev libzstd-dev zlib1g-dev libjpeg-dev libssl-dev dataset-fashion-mnist libonnx-testdata"
missing=
for package in $packages; do
    dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing" >&2
root=
[ "$(id -u)" = 0 ] || root=sudo
if [ -n "$root" ] && ! command -v sudo >/dev/null; then
    echo "run as root: apt-get install$missing" >&2
    exit 69
fi
$root apt-get update -q >&2
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >&2
