#include "shared/base/roff.h"

void roff_text(const char *text, FILE *out)
{
    for (; *text; text++)
        switch (*text) {
        case '-':
            fputs("\\-", out);
            break;
        case '\\':
            fputs("\\e", out);
            break;
        case '\'':
            fputs("\\(aq", out);
            break;
        case '`':
            fputs("\\(ga", out);
            break;
        case '^':
            fputs("\\(ha", out);
            break;
        case '~':
            fputs("\\(ti", out);
            break;
        case '"':
            fputs("\\(dq", out);
            break;
        default:
            fputc(*text, out);
        }
}

void roff_line(const char *text, FILE *out)
{
    if (*text == '.')
        fputs("\\&", out);
    roff_text(text, out);
    fputc('\n', out);
}
