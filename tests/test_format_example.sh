#!/bin/bash
# The h5py example of FORMAT.md is taken out of it and run over a small cache; h5dump reads a shard through the plugin.
# SOFTCACHE_PYTHON names a Python with h5py where python3 has none.
set -u
build=${BUILD:-build}
python=${SOFTCACHE_PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for class in 0 1 2 3 4 5 6 7 8 9; do
    mkdir -p "$work/photos/train/$class" "$work/photos/val/$class"
    cp tests/golden/evaluation_views/*.jpg "$work/photos/train/$class"
    cp tests/golden/evaluation_views/*.jpg "$work/photos/val/$class"
done
if ! output=$("$build/teacher_dump" run --quiet --data "$work/photos" --teacher tests/golden/teachers/tiny.onnx \
    --views 2 --base 48 --teacher-check off --out "$work/cache" 2>&1); then
    echo "not ok cache_for_the_example: $output"
    exit 1
fi
count=$(ls tests/golden/evaluation_views/*.jpg | wc -l)

if ! command -v h5dump >/dev/null; then
    echo "ok h5dump_reads_the_shards # SKIP no h5dump"
elif HDF5_PLUGIN_PATH=$build/plugins h5dump -d labels "$work/cache/val-00000.h5" | grep -q '9, 9, 9'; then
    echo "ok h5dump_reads_the_shards"
else
    echo "not ok h5dump_reads_the_shards: labels are not printed"
fi

sed -n '/^## Reading a cache with h5py/,/^## cache.json/s/^    //p' FORMAT.md >"$work/example.py"
if ! "$python" -c 'import h5py' 2>/dev/null; then
    echo "ok example_of_format_md # SKIP $python has no h5py (SOFTCACHE_PYTHON names another)"
elif ! output=$("$python" "$work/example.py" "$work/cache" "$build/plugins" 2>&1); then
    echo "not ok example_of_format_md: $output"
elif [[ $output == *"train-00000.h5 ($((10 * count)), 2, 10) train/0/"*" right"*"val-00000.h5 ($((10 * count)), 1, 10)"* ]]; then
    echo "ok example_of_format_md"
else
    echo "not ok example_of_format_md: it printed: $output"
fi

# The second example: a shard's table, read with json, numpy and libzstd.
sed -n '/^\*\*The table of a shard/,/^## While/s/^    //p' FORMAT.md >"$work/table.py"
wanted="print(file['logits'].shape, file['logits'][:].astype('f4').sum())"
if ! "$python" -c 'import h5py' 2>/dev/null; then
    echo "ok table_in_python # SKIP $python has no h5py (SOFTCACHE_PYTHON names another)"
elif output=$("$python" "$work/table.py" "$work/cache/train-00000.h5" 2>&1) &&
    [ "$output" = "$("$python" -c "import h5py, sys; h5py.h5pl.append('$build/plugins'.encode()); file = h5py.File(sys.argv[1]); $wanted" "$work/cache/train-00000.h5")" ]; then
    echo "ok table_in_python"
else
    echo "not ok table_in_python: it printed: $output"
fi

# What only reads caches is not even linked with libhdf5.
if ! command -v readelf >/dev/null; then
    echo "ok readers_do_not_link_libhdf5 # SKIP no readelf"
elif readelf -d "$build/student_train" "$build/libsoftcache_views.so" | grep -q hdf5; then
    echo "not ok readers_do_not_link_libhdf5: $(readelf -d "$build/student_train" "$build/libsoftcache_views.so" | grep hdf5)"
else
    echo "ok readers_do_not_link_libhdf5"
fi

# The seal, checked with Python's own hashlib: a changed character of the manifest is found.
mkdir "$work/h5py" && echo 'class _: append = staticmethod(lambda path: None)
h5pl = _
def File(path): raise SystemExit("the seal is right")' >"$work/h5py/__init__.py"
seal() { (cd "$work" && python3 -B example.py "$1" plugins 2>&1); } # h5py is the stand-in beside the example
cp -r "$work/cache" "$work/changed"
sed -i 's/"seed":\t"1"/"seed":\t"2"/' "$work/changed/cache.json"
cp -r tests/golden/caches/version_1 "$work/older" # of the first version, without a seal
if ! command -v python3 >/dev/null; then
    echo "ok seal_in_python # SKIP no python3"
elif [[ $(seal cache) == *"the seal is right"* && $(seal changed) == *"cache.json was changed"* && $(seal older) == *"the seal is right"* ]]; then
    echo "ok seal_in_python"
else
    echo "not ok seal_in_python: $(seal cache) $(seal changed) $(seal older)"
fi
if "$build/teacher_dump" verify "$work/cache" --quiet >/dev/null 2>&1 && ! "$build/teacher_dump" verify "$work/changed" --quiet >/dev/null 2>&1 &&
    "$build/teacher_dump" verify "$work/older" --quiet >/dev/null 2>&1; then
    echo "ok seal_in_verify"
else
    echo "not ok seal_in_verify: $("$build/teacher_dump" verify "$work/changed" --quiet 2>&1) $("$build/teacher_dump" verify "$work/older" --quiet 2>&1)"
fi
