/* CUDA's small vector types, with their real alignment, so that UBSan sees a misaligned vector access. */
#ifndef SHIM_VECTOR_TYPES_H
#define SHIM_VECTOR_TYPES_H

#define SHIM_ALIGNED(bytes) __attribute__((aligned(bytes)))

/* clang-format off */
#define SHIM_VECTORS(name, type, size) \
    struct name##1 { type x; }; \
    struct SHIM_ALIGNED(2 * size) name##2 { type x, y; }; \
    struct name##3 { type x, y, z; }; \
    struct SHIM_ALIGNED(4 * size > 16 ? 16 : 4 * size) name##4 { type x, y, z, w; }; \
    typedef struct name##1 name##1; \
    typedef struct name##2 name##2; \
    typedef struct name##3 name##3; \
    typedef struct name##4 name##4; \
    static inline name##1 make_##name##1(type x) { name##1 v = {x}; return v; } \
    static inline name##2 make_##name##2(type x, type y) { name##2 v = {x, y}; return v; } \
    static inline name##3 make_##name##3(type x, type y, type z) { name##3 v = {x, y, z}; return v; } \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { name##4 v = {x, y, z, w}; return v; }
/* clang-format on */

SHIM_VECTORS(char, signed char, 1)
SHIM_VECTORS(uchar, unsigned char, 1)
SHIM_VECTORS(short, short, 2)
SHIM_VECTORS(ushort, unsigned short, 2)
SHIM_VECTORS(int, int, 4)
SHIM_VECTORS(uint, unsigned int, 4)
SHIM_VECTORS(longlong, long long, 8)
SHIM_VECTORS(ulonglong, unsigned long long, 8)
SHIM_VECTORS(float, float, 4)
SHIM_VECTORS(double, double, 8)
#undef SHIM_VECTORS

typedef struct dim3 {
    unsigned int x, y, z;
#ifdef __cplusplus
    constexpr dim3(unsigned int width = 1, unsigned int height = 1, unsigned int depth = 1)
        : x(width), y(height), z(depth)
    {
    }
#endif
} dim3;

#endif
