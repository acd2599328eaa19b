/* The calls of other libraries that helper_failing_calls.h lets fail: each returns what its library says that a failure
 * returns, without being made. */
#include "formats/cache/hdf5_table.h"
#include "tests/helper_failing_calls.h"
#include <H5PLextern.h>
#include <png.h>
#include <zlib.h>
#include <zstd.h>

/* The library's own declaration checks parameters and type; another level, since some names are macros of a version. */
#define WRAP(name, type, parameters, arguments, failure) \
    WRAP_NAME(CALL_LIBRARY, name, type, parameters, arguments, failure)
#define WRAP_DECODER(name, type, parameters, arguments, failure) \
    WRAP_NAME(CALL_DECODER, name, type, parameters, arguments, failure)
#define WRAP_NAME(kind, name, type, parameters, arguments, failure)                                 \
    __typeof__(name) __real_##name, __wrap_##name;                                                  \
    type __wrap_##name parameters                                                                   \
    {                                                                                               \
        return failing_call(kind, __builtin_return_address(0)) ? failure : __real_##name arguments; \
    }

static long open_objects;

long failing_calls_hdf5_objects(void)
{
    return open_objects;
}

/* Files, data sets, types, ... that libhdf5 holds until they are closed. Closing makes the call all the same. */
#define WRAP_OPENING(name, type, parameters, arguments)                                                             \
    __typeof__(name) __real_##name, __wrap_##name;                                                                  \
    type __wrap_##name parameters                                                                                   \
    {                                                                                                               \
        const type object = failing_call(CALL_LIBRARY, __builtin_return_address(0)) ? -1 : __real_##name arguments; \
        open_objects += object >= 0;                                                                                \
        return object;                                                                                              \
    }
#define WRAP_CLOSING(name, can_fail)                                                               \
    __typeof__(name) __real_##name, __wrap_##name;                                                 \
    herr_t __wrap_##name(hid_t object)                                                             \
    {                                                                                              \
        const bool failed = (can_fail) && failing_call(CALL_LIBRARY, __builtin_return_address(0)); \
        const herr_t closed = __real_##name(object);                                               \
        open_objects -= closed >= 0;                                                               \
        return failed ? -1 : closed;                                                               \
    }

WRAP_CLOSING(H5Fclose, true) /* the file may not be whole then; a failure of the others changes nothing */
WRAP_CLOSING(H5Dclose, false)
WRAP_CLOSING(H5Sclose, false)
WRAP_CLOSING(H5Tclose, false)
WRAP_CLOSING(H5Pclose, false)

/* ---- libhdf5: making files ---- */

WRAP(H5Zregister, herr_t, (const void *filter), (filter), -1)
WRAP_OPENING(H5Pcreate, hid_t, (hid_t kind), (kind))
WRAP(H5Pset_fapl_core, herr_t, (hid_t list, size_t step, hbool_t kept), (list, step, kept), -1)
WRAP(H5Pset_file_image_callbacks, herr_t, (hid_t list, H5FD_file_image_callbacks_t *calls), (list, calls), -1)
WRAP(H5Pset_libver_bounds, herr_t, (hid_t list, H5F_libver_t low, H5F_libver_t high), (list, low, high), -1)
WRAP(H5Pset_obj_track_times, herr_t, (hid_t list, hbool_t on), (list, on), -1)
WRAP(H5Pset_layout, herr_t, (hid_t list, H5D_layout_t layout), (list, layout), -1)
WRAP(H5Pset_chunk, herr_t, (hid_t list, int rank, const hsize_t *dims), (list, rank, dims), -1)
WRAP(H5Pset_fill_time, herr_t, (hid_t list, H5D_fill_time_t when), (list, when), -1)
WRAP(H5Pset_shuffle, herr_t, (hid_t list), (list), -1)
WRAP(H5Pset_filter, herr_t, (hid_t list, H5Z_filter_t filter, unsigned flags, size_t count, const unsigned values[]),
     (list, filter, flags, count, values), -1)
WRAP_OPENING(H5Fcreate, hid_t, (const char *path, unsigned flags, hid_t creation, hid_t access),
             (path, flags, creation, access))
WRAP_OPENING(H5Tcopy, hid_t, (hid_t type), (type))
WRAP(H5Tset_size, herr_t, (hid_t type, size_t size), (type, size), -1)
WRAP(H5Tset_fields, herr_t, (hid_t type, size_t sign, size_t at, size_t bits, size_t low, size_t rest),
     (type, sign, at, bits, low, rest), -1)
WRAP(H5Tset_ebias, herr_t, (hid_t type, size_t bias), (type, bias), -1)
WRAP(H5Tset_strpad, herr_t, (hid_t type, H5T_str_t padding), (type, padding), -1)
WRAP(H5Tset_cset, herr_t, (hid_t type, H5T_cset_t characters), (type, characters), -1)
WRAP_OPENING(H5Screate_simple, hid_t, (int rank, const hsize_t dims[], const hsize_t most[]), (rank, dims, most))
WRAP_OPENING(H5Dcreate2, hid_t,
             (hid_t file, const char *name, hid_t type, hid_t space, hid_t link, hid_t creation, hid_t access),
             (file, name, type, space, link, creation, access))
WRAP(H5Dwrite, herr_t, (hid_t set, hid_t type, hid_t memory, hid_t space, hid_t list, const void *data),
     (set, type, memory, space, list, data), -1)
WRAP(H5Dwrite_chunk, herr_t,
     (hid_t set, hid_t list, uint32_t filters, const hsize_t *at, size_t size, const void *data),
     (set, list, filters, at, size, data), -1)

/* ---- libhdf5: what is in a file, which we ask it about those that it has just made ---- */

WRAP(H5Gget_info, herr_t, (hid_t group, H5G_info_t *about), (group, about), -1)
WRAP(H5Lget_info, herr_t, (hid_t file, const char *name, H5L_info_t *about, hid_t access), (file, name, about, access),
     -1)
WRAP(H5Lget_name_by_idx, ssize_t,
     (hid_t file, const char *group, H5_index_t index, H5_iter_order_t order, hsize_t at, char *name, size_t size,
      hid_t access),
     (file, group, index, order, at, name, size, access), -1)
WRAP_OPENING(H5Dopen2, hid_t, (hid_t file, const char *name, hid_t access), (file, name, access))
WRAP_OPENING(H5Dget_type, hid_t, (hid_t set), (set))
WRAP_OPENING(H5Dget_space, hid_t, (hid_t set), (set))
WRAP_OPENING(H5Dget_create_plist, hid_t, (hid_t set), (set))
WRAP(H5Dget_offset, haddr_t, (hid_t set), (set), HADDR_UNDEF)
WRAP(H5Dget_storage_size, hsize_t, (hid_t set), (set), 0)
WRAP(H5Dget_chunk_info_by_coord, herr_t, (hid_t set, const hsize_t *place, unsigned *mask, haddr_t *at, hsize_t *size),
     (set, place, mask, at, size), -1)
WRAP(H5Tget_size, size_t, (hid_t type), (type), 0)
WRAP(H5Tequal, htri_t, (hid_t a, hid_t b), (a, b), -1)
WRAP(H5Sget_simple_extent_ndims, int, (hid_t space), (space), -1)
WRAP(H5Sget_simple_extent_dims, int, (hid_t space, hsize_t dims[], hsize_t most[]), (space, dims, most), -1)
WRAP(H5Pget_nfilters, int, (hid_t list), (list), -1)
WRAP(H5Pget_filter2, H5Z_filter_t,
     (hid_t list, unsigned at, unsigned *flags, size_t *count, unsigned values[], size_t room, char name[],
      unsigned *config),
     (list, at, flags, count, values, room, name, config), -1)
WRAP(H5Pget_layout, H5D_layout_t, (hid_t list), (list), H5D_LAYOUT_ERROR)
WRAP(H5Pget_chunk, int, (hid_t list, int rank, hsize_t dims[]), (list, rank, dims), -1)
WRAP(H5Pget_external_count, int, (hid_t list), (list), -1)

/* ---- zstd, zlib, libpng ---- */

WRAP(ZSTD_compress, size_t, (void *to, size_t room, const void *from, size_t size, int level),
     (to, room, from, size, level), (size_t)-1)
WRAP(ZSTD_createDCtx, ZSTD_DCtx *, (void), (), NULL)
WRAP_DECODER(ZSTD_decompressDCtx, size_t, (ZSTD_DCtx * state, void *to, size_t room, const void *from, size_t size),
             (state, to, room, from, size), (size_t)-1)
WRAP(inflateInit2_, int, (z_streamp stream, int bits, const char *version, int size), (stream, bits, version, size),
     Z_MEM_ERROR)
WRAP_DECODER(inflate, int, (z_streamp stream, int flush), (stream, flush), Z_DATA_ERROR)
WRAP(png_create_read_struct, png_structp,
     (png_const_charp version, png_voidp context, png_error_ptr on_error, png_error_ptr on_warning),
     (version, context, on_error, on_warning), NULL)
WRAP(png_create_info_struct, png_infop, (png_const_structrp png), (png), NULL)
