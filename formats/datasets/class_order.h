/* The order of a data set's classes, which is the order of a teacher's logits. Readers list folders in byte order (1,
 * 10, 2), as torchvision does; others, such as timm, count (1, 2, 10). */
#ifndef FORMATS_DATASETS_CLASS_ORDER_H
#define FORMATS_DATASETS_CLASS_ORDER_H

#include "formats/datasets/image_source.h"

/* Puts the classes of an open source in another order and gives its samples the labels that belong to it.
 * order: "as-is" (or NULL): as the reader lists them; "natural": class_order_natural; otherwise a file with the names
 * of all classes, one a line, in their order. STATUS_NO_INPUT; STATUS_CONFIG: the file's names are not those of the
 * classes. */
enum status class_order_apply(struct image_source *source, const char *order, struct error *err);

/* order[count]: the indices of names[count] in natural order: numbers in them by their value, letters without regard to
 * case. */
void class_order_natural(const char *const *names, int count, int *order);

#endif
