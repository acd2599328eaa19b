#define _GNU_SOURCE
#include "shared/base/printable.h"

#include "shared/base/file_calls.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t escape(char *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    const char text[] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    memcpy(out, text, sizeof text);
    return sizeof text;
}

/* Bytes that follow the first one of a UTF-8 character; -1 if it cannot be a first one. */
static int following(unsigned char first)
{
    return first < 0x80                     ? 0
           : first >= 0xC2 && first <= 0xDF ? 1
           : first >= 0xE0 && first <= 0xEF ? 2
           : first >= 0xF0 && first <= 0xF4 ? 3
                                            : -1;
}

size_t printable_copy(struct printable *state, const char *text, size_t size, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)text[i];
        const bool continues = (byte & 0xC0) == 0x80;
        if (state->expected > 0 && continues) {
            /* 0xC2 waits for the next byte, which says whether it is a control character. */
            if (state->lead == 0xC2 && byte < 0xA0) {
                used += escape(out + used, 0xC2);
                used += escape(out + used, byte);
            } else {
                if (state->lead == 0xC2)
                    out[used++] = (char)0xC2;
                out[used++] = (char)byte;
            }
            state->lead = 0;
            state->expected--;
            continue;
        }
        if (state->lead == 0xC2)
            used += escape(out + used, 0xC2);
        *state = (struct printable){0};
        const int more = following(byte);
        if (more < 0 || (byte < ' ' && byte != '\n' && byte != '\t') || byte == 0x7F) {
            used += escape(out + used, byte);
        } else {
            *state = (struct printable){more, byte};
            if (byte != 0xC2)
                out[used++] = (char)byte;
        }
    }
    return used;
}

void printable_print(FILE *out, const char *text)
{
    struct printable state = {0};
    char piece[(64 + 1) * PRINTABLE_GROWTH];
    for (size_t left = strlen(text); left > 0;) {
        const size_t now = left < 64 ? left : 64;
        const size_t length = printable_copy(&state, text, now, piece);
        fwrite(piece, 1, length, out);
        text += now;
        left -= now;
    }
}

/* stdio gives the bytes of its buffer. Returns 0 after an error, as fopencookie asks for. */
static ssize_t write_printable(void *cookie, const char *text, size_t size)
{
    enum { PIECE = 4096 };
    char out[(PIECE + 1) * PRINTABLE_GROWTH];
    for (size_t done = 0; done < size;) {
        const size_t now = size - done < PIECE ? size - done : PIECE;
        const size_t length = printable_copy(cookie, text + done, now, out);
        for (size_t at = 0; at < length;) {
            const ssize_t put = RETRY(write(STDOUT_FILENO, out + at, length - at));
            if (put < 0)
                return 0;
            at += (size_t)put;
        }
        done += now;
    }
    return (ssize_t)size;
}

void printable_stdout(void)
{
    static struct printable state; /* of the one stdout */
    FILE *stream = fopencookie(&state, "w", (cookie_io_functions_t){.write = write_printable});
    if (!stream)
        return; /* out of memory: the program will not get far */
    setvbuf(stream, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, BUFSIZ);
    stdout = stream;
}
