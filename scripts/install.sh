#!/bin/bash
# Installs what was built, or removes what it has installed.
# usage: scripts/install.sh BUILD FILE...     FILE: programs go to bin, shared objects to lib/softcache
#        scripts/install.sh --remove
# environment: PREFIX (default /usr/local), DESTDIR, VERSION; SOURCE_DATE_EPOCH: the date of the manual pages
set -eu
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
[[ $prefix == /* ]] || { echo "install: PREFIX=$prefix: give an absolute path (DESTDIR is what is put before it)" >&2; exit 64; }
umask 022 # what an administrator installs is for everybody
root=${DESTDIR:-}$prefix
# Debian's packages have the folders that its shells look into; elsewhere these are zsh's own.
zsh_folder=$([ "$prefix" = /usr ] && echo share/zsh/vendor-completions || echo share/zsh/site-functions)

[ $# -gt 0 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }
if [ "$1" = --remove ]; then
    for program in teacher_dump student_train; do
        rm -f "$root/bin/$program" "$root/share/man/man1/$program.1" "$root/share/bash-completion/completions/$program" "$root/$zsh_folder/_$program"
    done
    rm -f "$root/include/softcache.h" "$root/lib/pkgconfig/softcache.pc"
    rm -rf "$root/lib/softcache" "$root/share/doc/softcache"
    exit 0
fi

build=$1
shift
install -d "$root"/{bin,include,lib/pkgconfig,lib/softcache/plugins,share/man/man1,share/bash-completion/completions,share/doc/softcache} "$root/$zsh_folder"
rm -f "$root"/lib/softcache/{*.so,plugins/*.so} # of an earlier version, which may have had backends that this one has not
for file in "$@"; do
    case $file in
    *.so) install -m 644 "$file" "$root/lib/softcache" ;;
    *) install "$file" "$root/bin" ;;
    esac
done
install "$build/softcache_hdf5_reader" "$root/lib/softcache"
install -m 644 "$build/plugins/libh5zstd.so" "$root/lib/softcache/plugins"
install -m 644 README.md FORMAT.md CHANGELOG.md docs/c-reader/read_cache.c "$root/share/doc/softcache"
install -m 644 formats/cache/cache_library.h "$root/include/softcache.h"

date=$(date -u +%Y-%m-%d -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}")
for program in teacher_dump student_train; do
    "$build/$program" --help=man | sed "1s/\"\"/\"$date\"/" >"$root/share/man/man1/$program.1"
    "$build/$program" --help=bash >"$root/share/bash-completion/completions/$program"
    "$build/$program" --help=zsh >"$root/$zsh_folder/_$program"
done

cat >"$root/lib/pkgconfig/softcache.pc" <<END
prefix=$prefix
libdir=\${prefix}/lib/softcache
includedir=\${prefix}/include

Name: softcache
Description: reads caches of a teacher's answers
Version: ${VERSION:-0}
Cflags: -I\${includedir}
Libs: -L\${libdir} -lsoftcache_views -Wl,-rpath,\${libdir}
END
