/* Are the predictions those of another order of the classes? */
#include "teacher_dump/teacher_check.h"

#include "formats/datasets/class_order.h"
#include "teacher_dump/check_statistics.h"
#include <stdlib.h>

static const double ORDER_LEVEL = 0.005; /* so rarely, chance makes an order look so good */
static const double ORDER_GAIN = 0.1;    /* of the photos, that an order must make right */
enum { FITTED_PHOTOS = 5 };              /* of each class, at least, to fit an order to */
static const double FITTED_SHARE = 0.5;  /* of the photos, that a fitted order must make right: less is no order */

/* Counts the photos that are right with `order` and not as it is, and the reverse. Only rounds of the given parity; -1:
 * all. */
static void compare_order(const struct predictions *p, const int *order, int parity, int *gained, int *lost)
{
    for (int i = 0; i < p->count; i++) {
        if (parity >= 0 && p->rounds[i] % 2 != parity)
            continue;
        const bool before = p->predicted[i] == p->labels[i], after = order[p->predicted[i]] == p->labels[i];
        *gained += after && !before;
        *lost += before && !after;
    }
}

static bool is_much_better(const struct predictions *p, int gained, int lost)
{
    return gained - lost >= ORDER_GAIN * p->count && significantly_better(gained, lost, ORDER_LEVEL);
}

static int count_right(const struct predictions *p)
{
    int right = 0;
    for (int i = 0; i < p->count; i++)
        right += p->predicted[i] == p->labels[i];
    return right;
}

/* The order that fits best to the rounds of the given parity; -1: to all. */
static enum status fit_order(const struct predictions *p, int parity, int *order, struct error *err)
{
    const size_t n = (size_t)p->classes;
    int *confusion = calloc(n * n, sizeof *confusion);
    bool done = confusion != NULL;
    for (int i = 0; i < p->count && done; i++)
        if (parity < 0 || p->rounds[i] % 2 == parity)
            confusion[(size_t)p->labels[i] * n + (size_t)p->predicted[i]]++;
    done = done && best_assignment(confusion, p->classes, order);
    free(confusion);
    return done ? STATUS_OK : error_no_memory(err, n * n * sizeof *confusion, "a table of classes");
}

void check_natural_order(const struct predictions *p, int *order, bool *found, int *right)
{
    int gained = 0, lost = 0;
    class_order_natural(p->names, p->classes, order);
    compare_order(p, order, -1, &gained, &lost);
    *right = count_right(p) + gained - lost;
    *found = is_much_better(p, gained, lost);
}

enum status check_fitted_order(const struct predictions *p, int *order, bool *found, int *right, struct error *err)
{
    enum status status = STATUS_OK;
    int gained = 0, lost = 0;
    *found = false;
    if (p->classes > CHECK_MAX_ASSIGNED || p->count < FITTED_PHOTOS * p->classes)
        return STATUS_OK;
    for (int parity = 0; parity < 2; parity++) {
        TRY(fit_order(p, 1 - parity, order, err));
        compare_order(p, order, parity, &gained, &lost);
    }
    *right = count_right(p) + gained - lost;
    *found = is_much_better(p, gained, lost) && *right >= FITTED_SHARE * p->count;
    if (*found)
        TRY(fit_order(p, -1, order, err));
cleanup:
    return status;
}
