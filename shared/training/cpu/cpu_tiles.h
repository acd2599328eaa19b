/* Steps that only move values work through a slice of the batch in tiles of pixels that stay in the L1 cache. */
#ifndef SHARED_TRAINING_CPU_CPU_TILES_H
#define SHARED_TRAINING_CPU_CPU_TILES_H

#include "shared/training/cpu/cpu_run.h"

enum { TILE_FLOATS = 8192 };

/* Pixels per tile: whole rows of 16 pixels, see cpu_kernels.h. */
static inline size_t tile_pixels(size_t channels)
{
    return 16 * channels > TILE_FLOATS ? 16 : TILE_FLOATS / (16 * channels) * 16;
}

/* Scratch memory for two tiles. */
static inline struct step_need tile_need(const struct plan *plan, const struct plan_step *step)
{
    const size_t channels = (size_t)plan->tensors[step->output].shape.c;
    return (struct step_need){.scratch = 2 * tile_pixels(channels) * channels};
}

/* The pixels of a slice: for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) */
struct tiles {
    size_t at, end, tile; /* pixels */
};

static inline struct tiles tiles_of(const struct cpu_run *run, int slice)
{
    const size_t channels = (size_t)run->out->shape.c, image = run->out->sample / channels;
    int first, end;
    slice_samples(run, slice, &first, &end);
    return (struct tiles){(size_t)first * image, (size_t)end * image, tile_pixels(channels)};
}

static inline size_t tile_size(const struct tiles *t)
{
    return t->end - t->at < t->tile ? t->end - t->at : t->tile;
}

/* Runs the task on all slices of a step that has no weights. */
static inline void run_tiles(struct cpu_run *run, void (*task)(void *run, int slice, int worker))
{
    run->slices = slice_count(0, run->pass->count);
    run_slices(run, task);
}

#endif
