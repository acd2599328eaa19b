"""libsoftcache_views.so: the C code that reads shards and makes views (formats/cache/cache_library.h has its contract)."""
import ctypes
import os
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

from .errors import SoftcacheError

NAME = "libsoftcache_views.so"
INTERFACE = 2
MESSAGE_SIZE = 2048


class Choice(ctypes.Structure):
    _fields_ = [("split", c_int32), ("count", c_int32), ("samples", c_void_p), ("ids", c_void_p), ("views", c_void_p)]


class Mix(ctypes.Structure):
    _fields_ = [("kind", c_int32), ("share", c_int32), ("x", c_int32), ("y", c_int32), ("w", c_int32), ("h", c_int32),
                ("partner", c_uint32)]


class Data(ctypes.Structure):
    _fields_ = [("type", c_int32), ("item", c_int32), ("rank", c_int32), ("dims", c_int64 * 5), ("offset", c_int64)]


# name: (result, arguments before the message). A function whose result is "status" takes a message as its last argument.
FUNCTIONS = {
    "cache_open": ("status", [POINTER(c_void_p), c_char_p]),
    "cache_close": (None, [c_void_p]),
    "shard_open": ("status", [POINTER(c_void_p), c_void_p, c_int, c_int]),
    "shard_close": (None, [c_void_p]),
    "shard_data": ("status", [c_void_p, c_char_p, POINTER(Data)]),
    "shard_rows": ("status", [c_void_p, c_char_p, c_void_p, c_size_t, c_void_p]),
    "views_open": ("status", [POINTER(c_void_p), c_char_p, c_size_t, c_int, c_int]),
    "views_close": (None, [c_void_p]),
    "images_make": ("status", [c_void_p, c_int, POINTER(c_void_p), POINTER(c_size_t), POINTER(c_char_p), POINTER(c_void_p)]),
    "image_free": (None, [c_void_p]),
    "image_base": (c_void_p, [c_void_p, POINTER(c_int32)]),
    "image_bytes": (c_size_t, [c_void_p]),
    "views_mix": ("status", [c_void_p, POINTER(Choice), c_void_p]),
    "views_render": ("status", [c_void_p, POINTER(Choice), POINTER(c_void_p), c_void_p, POINTER(c_void_p), c_void_p]),
    "views_describe": ("status", [c_void_p, POINTER(Choice), c_int, c_void_p, c_char_p, c_size_t]),
    "rows_open": ("status", [POINTER(c_void_p), c_char_p, c_size_t]),
    "rows_close": (None, [c_void_p]),
    "rows_bytes": (c_size_t, [c_void_p, c_int, c_uint64, c_uint64]),
    "rows_pack": ("status", [c_void_p, c_int, c_uint64, c_int, c_void_p, POINTER(c_void_p), POINTER(c_int32), c_void_p]),
}


def places():
    """Where the library is looked for, in this order."""
    if os.environ.get("SOFTCACHE_LIBRARY"):
        return [Path(os.environ["SOFTCACHE_LIBRARY"])]
    here = Path(__file__).resolve().parent
    found = [here / NAME, here.parent.parent / "build" / NAME]  # installed with the package; used from its source tree
    for folder in os.environ.get("PATH", "").split(os.pathsep):  # beside an installed teacher_dump
        if folder and (Path(folder) / "teacher_dump").exists():
            found += [Path(folder) / NAME, Path(folder).parent / "lib" / "softcache" / NAME]
    return found + [Path("/usr/local/lib/softcache") / NAME]


class Library:
    """The loaded library. library.NAME(...) calls softcache_NAME and raises SoftcacheError when it fails."""

    def __init__(self, path):
        try:
            self._dll = ctypes.CDLL(str(path))
            interface = self._dll.softcache_interface()
        except (OSError, AttributeError) as error:
            raise SoftcacheError(f"{path}: cannot be used: {error}") from None
        if interface != INTERFACE:
            raise SoftcacheError(f"{path}: has interface {interface}, this package needs {INTERFACE}: in the same clone of "
                                 "softcache run `make`, then `pip install ./python` again")
        self.path = str(path)
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(self._dll, "softcache_" + name)
            function.restype = c_int if result == "status" else result
            function.argtypes = arguments + [c_char_p] if result == "status" else arguments
            setattr(self, name, self._checked(function) if result == "status" else function)

    @staticmethod
    def _checked(function):
        def call(*arguments):
            message = ctypes.create_string_buffer(MESSAGE_SIZE)
            if function(*arguments, message) != 0:
                raise SoftcacheError(message.value.decode("utf-8", "replace"))
        return call


_loaded = None


def library():
    global _loaded
    if _loaded is None:
        path = next((place for place in places() if place.exists()), None)
        if path is None:
            raise SoftcacheError(
                f"{NAME} is not found, which reads shards and makes views. Run `make` in a clone of softcache, then `pip install ./python` there "
                f"again; or set SOFTCACHE_LIBRARY to the file. Looked at: {', '.join(str(place) for place in places())}")
        _loaded = Library(path)
    return _loaded


def pointers(addresses):
    """An array of pointers for ctypes; None is NULL."""
    return (c_void_p * len(addresses))(*addresses)
