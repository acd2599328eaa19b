#!/bin/sh
# Installs the Debian packages that the build and the tests need. Does nothing when all are installed.
# usage: scripts/install_deps.sh [--check|--deb]
#   --check   installs nothing: names the packages that building the programs needs and that are missing (exit code 69), and
#             those without which some images cannot be read
#   --deb     installs what make deb needs, and nothing for the tests
set -eu
build="gcc g++ make pkg-config libc6-dev libhdf5-dev libdnnl-dev libonnx-dev protobuf-c-compiler libprotobuf-c-dev
 libcjson-dev libzstd-dev zlib1g-dev libjpeg-dev libpng-dev libssl-dev"
formats="libwebp-dev libtiff-dev" # the build leaves out what is missing of these
tests="xz-utils hdf5-tools libcmocka-dev dataset-fashion-mnist libonnx-testdata" # and the demo
check=
case ${1-} in
'') packages="$build $formats $tests" ;;
--check) packages=$build check=yes ;;
--deb) packages="$build $formats dpkg-dev" ;;
*) sed -n 's/^# usage: //p' "$0" >&2; exit 64 ;;
esac

if ! command -v dpkg-query >/dev/null; then
    [ -z "$check" ] || exit 0 # the compiler says what is missing
    echo "install_deps.sh: this is not Debian or Ubuntu; install what these packages contain: $packages" >&2
    exit 69
fi
# Sets `missing` to those of the given packages that are not installed.
find_missing() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing="$missing $package"
    done
}
# shellcheck disable=SC2086 # the names are words
if [ -n "$check" ]; then
    find_missing $formats
    [ -z "$missing" ] || echo "without$missing, WebP or TIFF images cannot be read; scripts/install_deps.sh installs them" >&2
fi
# shellcheck disable=SC2086
find_missing $packages
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
