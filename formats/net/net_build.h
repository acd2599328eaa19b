/* What the builders of .net layers share; internal to formats/net. net_layers.c has the plain layers and the table,
 * net_blocks.c what newer networks are made of: gates, norms without running statistics, scales, selections;
 * net_separable.c the blocks of depthwise and pointwise convolutions that take one line. */
#ifndef FORMATS_NET_NET_BUILD_H
#define FORMATS_NET_NET_BUILD_H

#include "formats/net/net_text.h"

/* Appends a node that reads inputs[count] and makes it the current one. name NULL: an automatic name. */
enum status net_append(struct net_builder *builder, const struct node *node, const char *name, const char *suffix,
                       const int *inputs, int count, struct error *err);
/* The same, reading the current node. */
enum status net_after_current(struct net_builder *builder, const struct node *node, const char *name,
                              const char *suffix, struct error *err);
/* Weight "LAYER.part". */
enum status net_add_weight(struct net_builder *builder, const char *layer, const char *part, const int *dims, int rank,
                           bool trained, int *index, struct error *err);
enum status net_add_conv(struct net_builder *builder, const char *name, int channels, const struct node *window,
                         bool bias, struct error *err);
/* value: the name of the norm's value; NULL: name, which its weights have. name NULL: an automatic name for both. */
enum status net_add_batch_norm(struct net_builder *builder, const char *name, const char *value, float epsilon,
                               float momentum, struct error *err);
/* Squeeze and excitation of the current value, through `squeezed` channels. */
enum status net_add_squeeze(struct net_builder *builder, const char *name, int squeezed, enum net_gate gate,
                            struct error *err);
enum status net_add_activation(struct net_builder *builder, enum activation activation, float alpha, float beta,
                               const char *name, const char *suffix, struct error *err);
/* The window of a line; kernel, stride (0: the kernel's size) and padding where the line does not say them. */
struct node net_window(enum op op, const struct net_line *line, int kernel, int stride, int pad);
int net_channels(const struct net_builder *builder); /* of the current value */
enum status net_find_value(const struct net_builder *builder, const char *name, int *index, struct error *err);
/* The name of a layer without a name in the file: LAST_suffix, with a number from the second one on. */
void net_automatic_name(const struct net_builder *builder, const char *suffix, char name[2 * NODE_MAX_NAME]);

enum status net_build_prelu(struct net_builder *builder, const struct net_line *line, struct error *err);
enum status net_build_norm(struct net_builder *builder, const struct net_line *line, struct error *err);
enum status net_build_scale(struct net_builder *builder, const struct net_line *line, struct error *err);
enum status net_build_se(struct net_builder *builder, const struct net_line *line, struct error *err);
enum status net_build_mul(struct net_builder *builder, const struct net_line *line, struct error *err);
enum status net_build_select(struct net_builder *builder, const struct net_line *line, struct error *err);
enum status net_build_upsample(struct net_builder *builder, const struct net_line *line, struct error *err);
enum status net_build_dwpw(struct net_builder *builder, const struct net_line *line, struct error *err);
enum status net_build_bottleneck(struct net_builder *builder, const struct net_line *line, struct error *err);

#endif
