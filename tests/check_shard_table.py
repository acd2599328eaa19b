"""Prints name and SHA-256 of every data set of a shard, as h5py reads them. usage: check_shard_table.py SHARD PLUGINS"""
import hashlib
import sys

import h5py

shard, plugins = sys.argv[1:]
h5py.h5pl.prepend(plugins.encode())
with h5py.File(shard) as file:
    for name, data in file.items():
        print(name, hashlib.sha256(data[...].tobytes()).hexdigest())
