/* The order of names that people expect: 2.jpg before 10.jpg. */
#ifndef SHARED_BASE_NATURAL_ORDER_H
#define SHARED_BASE_NATURAL_ORDER_H

/* Compares byte by byte, but runs of digits by their value; names that differ only in leading zeros by their bytes.
 * < 0, 0 or > 0 as strcmp. For qsort of const char *: natural_order_entries. */
int natural_order(const char *a, const char *b);
int natural_order_entries(const void *a, const void *b);

#endif
