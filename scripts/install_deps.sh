#!/bin/sh
# Installs the Debian packages that the build and the tests need. Does nothing when all are installed.
# usage: scripts/install_deps.sh [--check]
#   --check   installs nothing: names the packages that building the programs needs and that are missing (exit code 69)
set -eu
build="gcc g++ make pkg-config libc6-dev libhdf5-dev libdnnl-dev libonnx-dev protobuf-c-compiler libprotobuf-c-dev
 libcjson-dev libzstd-dev zlib1g-dev libjpeg-dev libssl-dev"
tests="xz-utils hdf5-tools libcmocka-dev dataset-fashion-mnist libonnx-testdata" # and the demo
check=
case ${1-} in
'') packages="$build $tests" ;;
--check) packages=$build check=yes ;;
*) sed -n 's/^# usage: //p' "$0" >&2; exit 64 ;;
esac

if ! command -v dpkg-query >/dev/null; then
    [ -z "$check" ] || exit 0 # the compiler says what is missing
    echo "install_deps.sh: this is not Debian or Ubuntu; install what these packages contain: $packages" >&2
    exit 69
fi
missing=
for package in $packages; do
    dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ -n "$check" ]; then
    echo "missing packages:$missing" >&2
    echo "scripts/install_deps.sh installs them" >&2
    exit 69
fi
echo "installing:$missing" >&2
root=
[ "$(id -u)" = 0 ] || root=sudo
if [ -n "$root" ] && ! command -v sudo >/dev/null; then
    echo "run as root: apt-get install$missing" >&2
    exit 69
fi
$root apt-get update -q >&2
# shellcheck disable=SC2086 # the names are words
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >&2
