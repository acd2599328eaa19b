#include "tests/helper_hdf5.h"

#include <string.h>

enum { LONGEST = 4096 };

static uint32_t turn(uint32_t value, int bits)
{
    return value << bits | value >> (32 - bits);
}

/* The 1 to 12 bytes that are left are taken as if zeros followed. */
static void take(uint32_t word[3], const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        word[i / 4] += (uint32_t)bytes[i] << 8 * (i % 4);
}

static uint32_t lookup3(const unsigned char *bytes, size_t length)
{
    static const int mixing[6] = {4, 6, 8, 16, 19, 4}, ending[7] = {14, 11, 25, 16, 4, 14, 24};
    const uint32_t begin = UINT32_C(0xdeadbeef) + (uint32_t)length;
    uint32_t word[3] = {begin, begin, begin};
    if (length == 0)
        return begin;
    for (; length > 12; bytes += 12, length -= 12) {
        take(word, bytes, 12);
        for (int i = 0; i < 6; i++) {
            uint32_t *here = &word[i % 3], *before = &word[(i + 2) % 3], *after = &word[(i + 1) % 3];
            *here = (*here - *before) ^ turn(*before, mixing[i]);
            *before += *after;
        }
    }
    take(word, bytes, length);
    for (int i = 0; i < 7; i++) {
        uint32_t *here = &word[(i + 2) % 3], *before = &word[(i + 1) % 3];
        *here = (*here ^ *before) - turn(*before, ending[i]);
    }
    return word[2];
}

static uint32_t stored(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

int hdf5_find_parts(const unsigned char *bytes, size_t size, struct hdf5_part parts[HDF5_MAX_PARTS])
{
    static const char *const marks[] = {"\x89HDF", "OHDR", "OCHK", "FAHD", "FADB", "EAHD",
                                        "EAIB",    "BTHD", "BTLF", "FRHP", "FHDB"};
    int count = 0;
    for (size_t start = 0; start + 8 < size && count < HDF5_MAX_PARTS; start++) {
        bool marked = false;
        for (size_t m = 0; m < sizeof marks / sizeof *marks; m++)
            marked |= memcmp(bytes + start, marks[m], 4) == 0;
        for (size_t length = 4; marked && length < LONGEST && start + length + 4 <= size; length++)
            if (lookup3(bytes + start, length) == stored(bytes + start + length)) {
                parts[count++] = (struct hdf5_part){start, length};
                break;
            }
    }
    return count;
}

void hdf5_mutate(unsigned char *bytes, const struct hdf5_part *parts, int count, struct random_stream *stream)
{
    static const unsigned char extremes[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
    const struct hdf5_part *part = &parts[random_below(stream, (uint32_t)count)];
    for (uint32_t changes = 1 + random_below(stream, 4); changes > 0; changes--) {
        unsigned char *byte = &bytes[part->start + 4 + random_below(stream, (uint32_t)part->length - 4)];
        *byte = random_below(stream, 2) ? extremes[random_below(stream, sizeof extremes)]
                                        : (unsigned char)random_u32(stream);
    }
    const uint32_t sum = lookup3(bytes + part->start, part->length);
    for (int i = 0; i < 4; i++)
        bytes[part->start + part->length + (size_t)i] = (unsigned char)(sum >> 8 * i);
}
