#!/bin/bash
# Makes a Debian package of what was built for /usr.
# usage: scripts/make_deb.sh BUILD OUT     OUT: the folder of the package; needs dpkg-dev
# environment: VERSION; DEBFULLNAME and DEBEMAIL name its maintainer; SOURCE_DATE_EPOCH its date
set -eu
cd "$(dirname "$0")/.."
build=$1 out=$2
command -v dpkg-shlibdeps >/dev/null || { echo "make deb: needs dpkg-shlibdeps (apt-get install dpkg-dev)" >&2; exit 69; }
architecture=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-softcache maintainers} <${DEBEMAIL:-softcache@packages.example.org}>"
date=$(date -R -u -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/softcache doc=$work/softcache/usr/share/doc/softcache
mkdir -p "$root/DEBIAN" "$work/debian" "$out"

objects=()
for object in "$build"/libsoftcache_views.so "$build"/softcache_{onednn,onnxruntime,webp,tiff,cuda,cudnn}.so; do
    [ ! -e "$object" ] || objects+=("$object")
done
PREFIX=/usr DESTDIR=$root scripts/install.sh "$build" "$build/teacher_dump" "$build/student_train" "${objects[@]}"
find "$root/usr/bin" "$root/usr/lib/softcache" -type f -exec strip --strip-unneeded -R .comment -R .note {} +
# pkg-config of another architecture must not find it.
multiarch=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
mkdir -p "$root/usr/lib/$multiarch"
mv "$root/usr/lib/pkgconfig" "$root/usr/lib/$multiarch/pkgconfig"
gzip -9n "$root"/usr/share/man/man1/*.1
rm "$doc/CHANGELOG.md"
gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
printf 'softcache (%s-1~local1) unstable; urgency=medium\n\n  * Package of softcache %s.\n\n -- %s  %s\n' "$VERSION" "$VERSION" "$maintainer" "$date" |
    gzip -9n >"$doc/changelog.Debian.gz"
{
    printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: softcache\n\nFiles: *\n'
    printf 'Copyright: %s\n' "$(sed -n 's/^Copyright (c) //p' LICENSE)"
    printf 'License: Expat\n'
    sed -n '/^Permission/,$p' LICENSE | sed 's/^$/./; s/^/ /'
} >"$doc/copyright"

# cuDNN and cuBLAS are not Debian's: what needs them is opened only where they are found.
touch "$work/debian/control"
mapfile -t dynamic < <(find "$root/usr/bin" "$root/usr/lib/softcache" -type f ! -name 'softcache_cudnn.so')
depends=$(cd "$work" && dpkg-shlibdeps --ignore-missing-info -O "${dynamic[@]}" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "make deb: dpkg-shlibdeps found no dependencies" >&2; exit 70; }
cat >"$root/DEBIAN/control" <<END
Package: softcache
Version: $VERSION-1~local1
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Depends: $depends
Section: science
Priority: optional
Description: offline distillation of an image classifier into tiny ones
 teacher_dump runs a big image classifier once over augmented views of every
 training photo and writes its answers into a compressed cache. student_train
 then trains tiny students from that cache alone, on a CPU or an NVIDIA GPU,
 again and again, without the teacher.
 .
 The cache is HDF5; a C library (pkg-config softcache) reads it without HDF5.
END
(cd "$root" && find usr -type f -exec md5sum {} + | LC_ALL=C sort -k2 >DEBIAN/md5sums)
find "$root" -type d -exec chmod 755 {} +
package=$out/softcache_$VERSION-1~local1_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >/dev/null
echo "$package: $(du -k "$package" | cut -f1) kB"
