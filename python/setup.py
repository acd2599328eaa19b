"""Puts libsoftcache_views.so, which `make` has built, into the package, and the program that it asks about old caches."""
import os
import shutil
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

NAME = "libsoftcache_views.so"
library = Path(os.environ.get("SOFTCACHE_LIBRARY") or Path(__file__).resolve().parent.parent / "build" / NAME)
reader = library.parent / "softcache_hdf5_reader"


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        if not library.exists():
            self.warn(f"{library} is missing: run `make` first, and install again, to read shards and make views")
        elif not self.editable_mode:
            shutil.copy(library, Path(self.build_lib) / "softcache" / NAME)
            if reader.exists():
                shutil.copy(reader, Path(self.build_lib) / "softcache" / reader.name)


class DistributionWithLibrary(Distribution):
    def has_ext_modules(self):  # the wheel is for this kind of machine
        return library.exists()


setup(cmdclass={"build_py": BuildWithLibrary}, distclass=DistributionWithLibrary)
