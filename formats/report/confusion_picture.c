#include "formats/report/confusion_picture.h"

#include <math.h>

enum { SIDE = 560 }; /* pixels, about */

enum status confusion_picture(const uint32_t *confusion, int classes, struct image *image, struct error *err)
{
    static const int empty[3] = {255, 255, 255}, full[3] = {29, 78, 216};
    const int cell = classes < SIDE ? SIDE / classes : 1, side = cell * classes;
    enum status status = image_init(image, side, side, 3, err);
    if (status != STATUS_OK)
        return status;
    for (int row = 0; row < classes; row++) {
        const uint32_t *counts = confusion + (size_t)row * (size_t)classes;
        double sum = 0;
        for (int c = 0; c < classes; c++)
            sum += counts[c];
        for (int y = row * cell; y < (row + 1) * cell; y++)
            for (int x = 0; x < side; x++) {
                const double shade = sum > 0 ? sqrt(counts[x / cell] / sum) : 0;
                for (int c = 0; c < 3; c++)
                    image->pixels[3 * ((size_t)y * (size_t)side + (size_t)x) + (size_t)c] =
                        (uint8_t)lround(empty[c] + shade * (full[c] - empty[c]));
            }
    }
    return STATUS_OK;
}
