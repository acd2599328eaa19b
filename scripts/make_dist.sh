#!/bin/bash
# Makes a folder that runs wherever it is copied to, and an archive of it. It holds the programs, every library that they need
# except glibc, the licences of those libraries, and what gpu_check.sh needs. It never holds NVIDIA's libraries: the programs find
# them where they are installed.
# usage: scripts/make_dist.sh BUILD VERSION [TEST PROGRAM...]
# environment: DIST (default BUILD/dist) is where the folder goes; ONEDNN=1 adds the CPU teacher's engine and its 40 MB library
set -eu
cd "$(dirname "$0")/.."
build=$1 version=$2
shift 2
out=${DIST:-$build/dist}/softcache-$version
rm -rf "$out" "$out.tar.gz"
mkdir -p "$out"/{bin,tests,lib/softcache/plugins,licenses,scripts/demo}

programs=("$build"/teacher_dump "$build"/student_train "$build"/synthetic_images)
objects=()
for object in "$build"/softcache_{webp,tiff,cuda,cudnn,onnxruntime}.so ${ONEDNN:+"$build"/softcache_onednn.so}; do
    [ ! -e "$object" ] || objects+=("$object")
done
install -s "${programs[@]}" "$out/bin"
[ $# -eq 0 ] || install -s "$@" "$out/tests"
install -m 644 -D -t "$out/tests/golden" tests/golden/*.bin tests/golden/*.h5
[ ${#objects[@]} -eq 0 ] || install -s -m 644 "${objects[@]}" "$out/lib/softcache"
install -s "$build/softcache_hdf5_reader" "$out/lib/softcache"
install -s -m 644 "$build/plugins/libh5zstd.so" "$out/lib/softcache/plugins"
install -m 644 README.md LICENSE FORMAT.md "$out"
install scripts/gpu_check.sh "$out/scripts"
cp -r scripts/gpu "$out/scripts/"
install -m 644 scripts/demo/fashion-mnist-teacher.onnx "$out/scripts/demo"

# Prints the path of every library that a file loads, except those of glibc and of NVIDIA.
libraries() {
    ldd "$@" | sed -nE 's/.* => (\/[^ ]*) .*/\1/p' | sort -u |
        grep -vE '/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|resolv|util|anl|mvec))\.so|/lib(cuda|cudnn|cublas|nv)[^/]*\.so'
}
mapfile -t carried < <(libraries "${programs[@]}" "${objects[@]}" "$@" "$build/plugins/libh5zstd.so")
install -m 644 "${carried[@]}" "$out/lib"

# The test programs share most of their bytes, so they are packed; gpu_check.sh unpacks them.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" -C "$out" -cf - tests | xz -9e -T1 >"$out/tests.tar.xz"

# Debian's packages know a library by its path, in which /lib may be /usr/lib.
licensed=0
while read -r package; do
    cp -L "/usr/share/doc/$package/copyright" "$out/licenses/$package"
    licensed=$((licensed + 1))
done < <(dpkg -S "${carried[@]}" "${carried[@]/#//usr}" 2>/dev/null | sed 's/:.*//' | sort -u)
[ "$licensed" -gt 0 ] || { echo "make dist: no licences found: the libraries do not come from Debian's packages" >&2; exit 69; }

glibc=$(find "$out" -type f \( -perm -100 -o -name '*.so*' \) ! -name '*.sh' ! -name '*.py' -exec objdump -T {} + |
    grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -1)
cat >"$out/INSTALL" <<END
softcache $version for Linux on $(uname -m), glibc ${glibc#GLIBC_} or newer. There is nothing to install: run bin/teacher_dump and
bin/student_train in this folder. lib/ holds the libraries that they need, licenses/ the licences of those libraries.

A GPU needs NVIDIA's driver. A teacher on a GPU also needs cuDNN 9 and cuBLAS 12 or 13, in the system's library path or in LD_LIBRARY_PATH
(the folders nvidia/*/lib of a PyTorch installation have them). scripts/gpu_check.sh checks and measures everything.
A teacher on the CPU needs lib/softcache/softcache_onednn.so, which is here only if \`make dist ONEDNN=1\` made the folder, or
onnxruntime (pip install onnxruntime) and --teacher-engine onnxruntime.
HDF5_PLUGIN_PATH=.../lib/softcache/plugins lets h5py and h5dump read the caches (FORMAT.md).
END

rm -r "$out/tests" # needed until here, for its libraries and glibc version
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}" \
    -C "${out%/*}" -cf - "${out##*/}" | gzip -n >"$out.tar.gz"
echo "$out: $(du -sm "$out" | cut -f1) MB ($(du -sm "$out.tar.gz" | cut -f1) MB packed), glibc ${glibc#GLIBC_} or newer"
