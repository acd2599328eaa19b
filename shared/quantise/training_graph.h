/* Training with fake quantisation: the student's graph with an OP_QUANTISE behind every value that its integer network
 * stores, and with weights that layers see in 8 bits. In inference it computes what the integer network computes, but
 * for the rounding of sums: next to a half, a value may be one step of its scale apart, and what follows with it.
 *
 * Batch norms stay where they are. Weights of an output channel share a scale, so rounding w and then multiplying by
 * gamma / sigma is rounding the folded weight w * gamma / sigma. */
#ifndef SHARED_QUANTISE_TRAINING_GRAPH_H
#define SHARED_QUANTISE_TRAINING_GRAPH_H

#include "shared/quantise/int8_net.h"

/* Nodes keep their order and weights their indices; ranges, which nobody knows yet, come after the weights. The node
 * behind NAME is called NAME.int8. *to is initialised here; on error it is released. STATUS_CONFIG: the message names
 * the layer that has no integer form. */
enum status training_graph(const struct graph *from, struct graph *to, struct error *err);

/* ranges[lowered->value_count]: those that a training graph has learned for the network that was lowered from the same
 * student. false: it does not know all of them. */
bool training_graph_ranges(const struct graph *graph, const struct lowered *lowered, struct value_range *ranges);

#endif
