/* What must be equal: for a run or a sweep to be resumed, and for two runs to be trained side by side. Every option
 * counts unless it is listed as an exception, so a new option cannot be forgotten. */
#ifndef STUDENT_TRAIN_RUN_FIT_IDENTITY_H
#define STUDENT_TRAIN_RUN_FIT_IDENTITY_H

#include "student_train/run/fit_options.h"

/* Text of "key = value" lines: the resolved options without those that change no result. malloc'ed; NULL when out of
 * memory. */
char *fit_options_fingerprint(const struct options *table);
/* The same for one run: every option that changes its result, with digests in place of the paths of cache, student and
 * initial weights. resized: its student's images have another size than the teacher's; older versions evaluated such
 * students on other pixels, so their runs are not resumed. malloc'ed; NULL when out of memory. */
char *fit_identity(const struct fit_options *options, const char *cache_digest, const char *student_digest,
                   const char *init_digest, bool resized);
/* The options that tell runs apart for a reader, without digests and paths, then the student's name and the lines of
 * options->variables: for TensorBoard. malloc'ed; NULL when out of memory. */
char *fit_hparams(const struct fit_options *options);
/* STATUS_CONFIG names the first line in which two such texts differ. path: what would be resumed. */
enum status fit_identity_check(const char *path, const char *before, const char *now, struct error *err);

/* True if the options of two runs of a sweep allow them to be trained side by side: equal but for what may differ in
 * struct trainer_student. Their structures and losses must fit as well. */
bool fit_options_side_by_side(const struct fit_options *a, const struct fit_options *b);

#endif
