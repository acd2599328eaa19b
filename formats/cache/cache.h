/* The cache: a folder of HDF5 shards per split and cache.json, the manifest. FORMAT.md is the written specification.
 *
 * Writing: cache_layout -> cache_writer_open -> for every shard, in any order, by any number of processes:
 *          cache_writer_claim, cache_writer_put -> cache_writer_publish.
 * Reading: cache_open -> cache_read_shard -> cache_image, cache_logits; cache_view.h says how its views are made.
 * Size and SHA-256 of a shard are checked before anything else, and libhdf5 sees no byte of it (shard_table.h). */
#ifndef FORMATS_CACHE_CACHE_H
#define FORMATS_CACHE_CACHE_H

#include "formats/datasets/image_source.h"
#include "shared/augment/view.h"
#include "shared/base/error.h"
#include "shared/base/memory.h"
#include "shared/base/threads.h"
#include "shared/graph/graph.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    CACHE_FORMAT_VERSION = 3, /* the highest that is read, and the one that is written */
    CACHE_MAX_FEATURES = 32,
    CACHE_SHARD_LIMIT = 256 << 20, /* bytes of a shard, before compression and with its images */
    CACHE_SHARD_SAMPLES = 2048,
    CACHE_NAME_SIZE = 256,
    CACHE_DENSE_CLASSES = 256, /* up to this many classes all logits are stored, above it the CACHE_TOP_K largest */
    CACHE_TOP_K = 32,
    CACHE_MAX_MEMBERS = 16,      /* models of one teacher */
    CACHE_MAX_OUTPUTS = 1 << 24, /* of a model of which some are chosen as logits */
    CACHE_MAX_KERNELS = 8,
};

/* How a value [c, h, w] of a view is stored. */
enum feature_form {
    FEATURE_FP16,   /* float16 */
    FEATURE_INT8,   /* int8 with one float scale per channel */
    FEATURE_POOLED, /* [c, 1, 1] float16, the mean over h and w */
    FEATURE_AT,     /* [1, h, w] float16, the attention map F.normalize(mean over c of value^2): Zagoruyko, Komodakis
                       2017. The student's map must have the same h and w: the mean of a map is not the map of a mean */
    FEATURE_FORM_COUNT
};
const char *feature_form_name(enum feature_form form); /* "fp16", "int8", "pooled", "at" */

/* The shape of a value in this form. */
struct shape cache_feature_shape(enum feature_form form, struct shape value);

/* A recorded value of the teacher. Only the training split has features. */
struct cache_feature {
    const char *tensor; /* name of the teacher's value */
    enum feature_form form;
    int c, h, w; /* stored shape per view, PyTorch's order */
    int views;   /* the first `views` views of a sample have it */
};

size_t cache_feature_count(const struct cache_feature *feature); /* elements per view */
size_t cache_feature_bytes(const struct cache_feature *feature); /* per view, before compression */

struct cache_shard_entry {
    const char *file;      /* "train-00000.h5" */
    uint32_t first, count; /* samples [first, first + count) of the split */
    /* known after the shard was published */
    uint64_t bytes;
    uint64_t image_bytes; /* of which the images' */
    char digest[65];
    uint64_t labelled; /* views of labelled samples */
    uint64_t correct;  /* of which views whose largest logit is the label's */
    /* sums over samples and over views that cache_teaching reads; below 0: of a cache that does not have them */
    double probability_squares; /* of each sample: the sum over the classes of (mean probability over its views)^2 */
    double entropy;             /* of each view: of the probabilities, in nats */
};

struct cache_split {
    uint32_t samples;
    int views; /* training split: the augmented views; evaluation splits: 1, the evaluation view */
    struct cache_shard_entry *shards; /* [shard_count] */
    int shard_count;
    double teacher_accuracy; /* correct / labelled over all views; -1 if there are no labels */
};

/* A sample whose image is broken: left out (--on-bad-image skip), or what can be decoded of it is used (salvage). */
struct cache_skipped {
    enum split split;
    const char *name, *reason;
};

/* Which library ran a model of the teacher. NULL or "": softcache's own engines, of program_version. */
struct cache_engine {
    const char *name, *version; /* "onnxruntime", "1.22.1" */
};

/* One of several models that were the teacher together. */
struct cache_member {
    const char *file; /* base name */
    char digest[65];
    double weight; /* those of all members add up to 1 */
    struct cache_engine engine;
};

/* What the teacher said about some plain photos before the run began (teacher_dump/teacher_check.h). */
struct cache_check {
    int photos, right;             /* labelled photos that were scored, training photos not among them */
    int train_photos, train_right; /* the same of training photos */
    const char *finding;           /* what `--teacher-check warn` warned of: "chance", ...; "": nothing */
};

/* Files that are no samples, by kind (".txt", "HEIC", "hidden"). */
struct cache_left_out {
    const char *kind;
    int64_t count;
};

/* The manifest. All strings and arrays belong to the arena. */
struct cache_manifest {
    struct arena arena;
    int format_version;
    const char *program_version;
    const char *const *classes; /* [class_count] */
    int class_count;
    struct cache_split splits[SPLIT_COUNT];         /* an absent split has 0 samples and 0 shards */
    const struct cache_skipped *skipped, *salvaged; /* [skipped_count], [salvaged_count] */
    int skipped_count, salvaged_count;
    /* data set */
    const char *source_format; /* "ImageFolder", ... */
    const char *source_path;   /* --images link only, otherwise "" */
    char source_digest[65];
    enum image_encoding encoding;
    int raw_h, raw_w, channels;            /* raw: every image's size; files: 0, 0, 3 */
    struct image_reading reading;          /* of files */
    const struct cache_left_out *left_out; /* [left_out_count] what was in the data folder besides its samples */
    int left_out_count;
    bool images_embedded;
    /* teacher */
    const char *teacher_file; /* base name; "" in a cache without a teacher (images and labels only) */
    char teacher_digest[65];  /* "" without a teacher */
    const char *device;       /* kind of device that the teacher ran on: "cpu", "cuda"; "" without a teacher;
                                 CACHE_IMPORTED if another program ran it (answers.h) */
    const char *precision;    /* and what it computed in: "fp32", "tf32", "fp16", "bf16"; "" without a teacher */
    struct cache_engine engine;
    /* Only if the teacher is more than one run of one model: then teacher_digest covers all of this. */
    struct cache_member members[CACHE_MAX_MEMBERS];
    int member_count;
    const char *ensemble, *tta; /* "logits", "probabilities"; "none", "hflip" */
    /* How the outputs of its models became logits, and in which order they took the colours. */
    const int *selected; /* [selected_count] class i is output selected[i]; a count of 0: all, in their order */
    int selected_count;
    bool from_probabilities; /* the outputs are probabilities, and the logits their logarithms */
    bool bgr; /* the models take blue first; mean and std are in the order red, green, blue all the same */
    struct cache_check check; /* photos and train_photos are 0: there was no check */
    /* What computed: "oneDNN 2.6.3 AVX-512". Several: shards come from machines whose answers differ in their last
     * bits. None: not known (older caches, answers of other programs), or nothing was computed yet. */
    const char *kernels[CACHE_MAX_KERNELS];
    int kernel_count;
    /* replay */
    const char *recipe; /* canonical text */
    int augment_version;
    uint64_t seed;
    int views;
    enum image_resize resize;
    int base; /* side of base images that `resize` means; 0: as stored */
    int size; /* the teacher's input side */
    float mean[3], std[3];
    /* outputs */
    int top_k; /* 0: dense logits; otherwise the k largest with class indices */
    struct cache_feature features[CACHE_MAX_FEATURES];
    int feature_count;
};

/* A cache without a teacher has images, labels and views, but neither logits nor features: a teacher is trained from
 * it. */
static inline bool cache_has_teacher(const struct cache_manifest *manifest)
{
    return manifest->teacher_digest[0] != 0;
}

#define CACHE_IMPORTED "imported"

/* Whether another program ran the teacher: then teacher_file is its name, and teacher_digest that of its answers. */
bool cache_is_imported(const struct cache_manifest *manifest);

/* The content of one shard, in memory. n = samples, v = views, k = logits_per_view. Owned arrays, freed by
 * cache_shard_release; a zeroed struct is allowed. */
struct cache_shard {
    enum split split;
    uint32_t first, count; /* n = count */
    int views;             /* v */
    int logits_per_view;   /* k, cache_logits_per_view */
    uint32_t *ids;   /* [n] of the sample in the data set's split; increasing, with gaps where images were skipped */
    int32_t *labels; /* [n], -1: none */
    char (*names)[CACHE_NAME_SIZE]; /* [n], zero-padded */
    /* [n, v, k] float16. With top_k: the top_k largest in descending order, then one value that stands for every other
     * class, log(mean(exp(others))), so that the softmax of the stored classes stays exact. */
    uint16_t *logits;
    uint16_t *top_classes;       /* [n, v, top_k] or NULL */
    uint8_t *image_bytes;        /* all images of the shard, one after the other; NULL when linked or not read */
    uint64_t *image_offsets;     /* [n + 1]; NULL when linked or not read */
    uint64_t *link_sizes;        /* [n] with --images link */
    uint8_t (*link_digests)[32]; /* [n] SHA-256 of the original files, with --images link */
    struct {
        uint16_t *half; /* fp16, pooled, at: [n, views', c, h, w] float16 */
        int8_t *int8;   /* int8: same shape, value = int8 * scale */
        float *scales;  /* [n, views', c] */
    } features[CACHE_MAX_FEATURES];
};

void cache_shard_release(struct cache_shard *shard);
/* Allocates every array that a shard of this manifest has, zeroed, except image_bytes (its size is the images'). */
enum status cache_shard_init(struct cache_shard *shard, const struct cache_manifest *manifest, enum split split,
                             uint32_t first, uint32_t count, struct error *err);

/* Who ran the teacher, of which models it consisted, and what was made of their outputs: the fields from `engine` to
 * `bgr`. Strings and arrays are shared. */
void cache_copy_members(struct cache_manifest *to, const struct cache_manifest *from);

/* Stored logits of a view: the classes; with top_k, top_k + 1; without a teacher 0. */
int cache_logits_per_view(const struct cache_manifest *manifest);

/* The lowest version of the format that can say what this manifest says. */
int cache_lowest_version(const struct cache_manifest *manifest);

/* Bytes of one sample in a shard before compression, without its image. */
size_t cache_sample_bytes(const struct cache_manifest *manifest, enum split split);

/* Lays out a split in shards: fills split->samples, views, shards (file, first, count), as a pure function of the
 * images' stored sizes (sizes[samples]; NULL: every image is raw) and the manifest's outputs. STATUS_CONFIG if a single
 * sample is larger than a shard. */
enum status cache_layout(struct cache_manifest *manifest, enum split split, const uint64_t *sizes, uint32_t samples,
                         struct error *err);

/* Stores the logits of one view as float16: all, or the top_k. STATUS_BAD_DATA if float16 cannot hold a value. */
enum status cache_store_logits(const struct cache_manifest *manifest, struct cache_shard *shard, uint32_t sample,
                               int view, const float *logits, struct error *err);
/* Stores a value of the teacher for one view in the form of feature `index`. shape: of `value`; the feature has
 * cache_feature_shape of it. STATUS_BAD_DATA if a value is not finite or too large for float16. */
enum status cache_store_feature(const struct cache_manifest *manifest, struct cache_shard *shard, int index,
                                uint32_t sample, int view, const float *value, struct shape shape, struct error *err);
/* The reverse: logits[class_count] of one view; with top_k, every class that is not stored gets the one value that
 * stands for it. */
void cache_logits(const struct cache_manifest *manifest, const struct cache_shard *shard, uint32_t sample, int view,
                  float *logits);
/* Checks that a shard's values are those of the format: indices in range, numbers finite. path: for errors.
 * STATUS_BAD_DATA names the data set and the place. */
enum status cache_check_values(const struct cache_manifest *manifest, const struct cache_shard *shard, const char *path,
                               struct error *err);
/* value[c, h, w] as stored. */
void cache_feature_value(const struct cache_manifest *manifest, const struct cache_shard *shard, int index,
                         uint32_t sample, int view, float *value);

/* ---- writing ---- */
struct cache_writer;

/* Opens folder `path` for writing. identity: a manifest with the layout but without the fields of published shards,
 * borrowed until cache_writer_close. A new folder records it; an existing one, finished or not, must have the same
 * (STATUS_CONFIG names the first field that differs, with both values). */
enum status cache_writer_open(struct cache_writer **out, const char *path, const struct cache_manifest *identity,
                              struct error *err);
void cache_writer_close(struct cache_writer *writer); /* NULL is allowed */

/* *begun: the folder has a finished cache or an unfinished one. Nothing is checked. */
enum status cache_is_begun(const char *path, bool *begun, struct error *err);

enum cache_claim_state {
    CACHE_UNCLAIMED, /* a zeroed claim, or one that was given back */
    CACHE_CLAIMED,   /* this process has the shard's lock: compute it, then cache_writer_put or cache_writer_unclaim */
    CACHE_DONE,      /* published; its size and digest were just verified */
    CACHE_BUSY,      /* another process works on it */
};
struct cache_claim {
    enum cache_claim_state state;
    enum split split;
    int shard;
    int lock; /* descriptor of a claimed shard's lock */
};
/* A published shard that is broken is removed and claimed. A process may have several claims: one thread may put a
 * shard while another claims the next. */
enum status cache_writer_claim(struct cache_writer *writer, enum split split, int shard, struct cache_claim *claim,
                               struct error *err);
void cache_writer_unclaim(struct cache_claim *claim); /* does nothing if it is not CACHE_CLAIMED */
/* Builds the claimed shard in memory and publishes it atomically; gives the claim back in any case. The pool (may be
 * NULL) compresses. STATUS_CANT_CREATE, STATUS_IO. */
enum status cache_writer_put(struct cache_writer *writer, struct cache_claim *claim, const struct cache_shard *content,
                             struct thread_pool *pool, struct error *err);

/* Says what computes the teacher's answers from now on, before the first shard is put. STATUS_CONFIG if shards of the
 * cache were computed by something else, whose answers differ in their last bits; `mix`: then the manifest names both.
 * Does nothing in caches of format versions 1 and 2, which do not say what computed. */
enum status cache_writer_join(struct cache_writer *writer, const char *kernels, bool mix, struct error *err);

/* If every shard of every split is there, publishes cache.json and removes what only writing needed. *missing gets the
 * number of shards that are not there yet (0: published, now or before). */
enum status cache_writer_publish(struct cache_writer *writer, int *missing, struct error *err);

/* ---- reading ---- */
struct cache {
    char *path;
    struct cache_manifest manifest;
};
/* STATUS_NO_INPUT (no cache.json: unfinished, run again to resume), STATUS_BAD_DATA, STATUS_CONFIG (format version). */
enum status cache_open(struct cache *cache, const char *path, struct error *err);
void cache_release(struct cache *cache);
/* Linked images are looked for in folder `data` instead of where they were (NULL: there). STATUS_USAGE if the images
 * are embedded, STATUS_NO_INPUT if there is no such folder. */
enum status cache_set_data(struct cache *cache, const char *data, struct error *err);

enum cache_read_parts { CACHE_READ_IMAGES = 1, CACHE_READ_FEATURES = 2 }; /* the rest is always read */
/* Loads, verifies and decodes one shard. Thread-safe. STATUS_NO_INPUT; STATUS_BAD_DATA names the file and what is
 * wrong. */
enum status cache_read_shard(const struct cache *cache, enum split split, int shard, unsigned parts,
                             struct cache_shard *content, struct error *err);
/* Asks libhdf5, in a process of its own, where the data sets of a shard are, and compares that with the shard's table:
 * HDF5 programs then read what cache_read_shard reads. STATUS_BAD_DATA if they differ or libhdf5 cannot read it. */
enum status cache_compare_hdf5(const struct cache *cache, enum split split, int shard, struct error *err);
/* The stored image of sample i (0 <= i < count) of a shard: borrowed bytes when embedded, malloc'ed (*owned) and
 * verified when linked. */
enum status cache_image(const struct cache *cache, const struct cache_shard *shard, uint32_t i, const uint8_t **bytes,
                        size_t *size, uint8_t **owned, struct error *err);

/* How good the teaching of the training split is. */
struct cache_teaching {
    uint64_t labelled, correct; /* views */
    /* below 0 if the cache does not know them */
    double entropy; /* mean over the views of the entropy of the teacher's probabilities, in nats */
    /* Standard deviation of the teacher's mean probability: of each sample, the probabilities (softmax of the logits)
     * are averaged over its views; then the standard deviation of this mean over the classes, and its root mean square
     * over the samples. 0: all classes are alike; cache_sure_deviation: sure of one class in all views. In the manner
     * of Wang et al., "What Makes a 'Good' Data Augmentation in Knowledge Distillation", 2022, who find that the lower
     * it is, the lower is a student's loss, as long as the teacher stays right. */
    double deviation;
};
void cache_teaching(const struct cache_manifest *manifest, struct cache_teaching *teaching);
double cache_sure_deviation(int classes);
/* The deviation of one sample's mean probabilities, or of several: squares is the mean over samples of the sum of their
 * squares. */
double cache_deviation(double squares, int classes);
/* probabilities[classes] = softmax of logits[classes]; returns their entropy in nats. */
double cache_probabilities(const float *logits, int classes, double *probabilities);

/* Bytes of shards by what they hold, as stored (compressed). */
struct cache_storage {
    uint64_t images, logits; /* with top_k also the classes of the logits */
    uint64_t features[CACHE_MAX_FEATURES];
    uint64_t records; /* ids, labels, names, digests of linked photos */
    uint64_t form;    /* of the file format itself */
};
/* Adds those of one shard. Errors as cache_read_shard. */
enum status cache_add_storage(const struct cache *cache, enum split split, int shard, struct cache_storage *storage,
                              struct error *err);

/* Bytes of the cache's files: of all, and of the images in them. */
void cache_bytes(const struct cache_manifest *manifest, uint64_t *total, uint64_t *images);
/* Views of all samples of all splits. */
uint64_t cache_view_count(const struct cache_manifest *manifest);

#endif
