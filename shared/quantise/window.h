/* struct window: how a layer's window moves over its map. Its text is a part of student.c. */
#ifndef SHARED_QUANTISE_WINDOW_H
#define SHARED_QUANTISE_WINDOW_H

#include "shared/quantise/kernels/window.inc"

#endif
