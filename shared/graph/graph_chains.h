/* Which nodes of a folded graph an engine computes in one step.
 *
 * A chain is a layer (its host), then at most one addition of another value, then at most one activation:
 *
 *     y = activation(host(x) + addend)
 *
 * Only the value of the chain's last node exists; the values before it are never stored. So a chain ends at a value
 * that two nodes read, and at a value that the caller wants to retain. A chain runs where its last node stands in the
 * graph: only there is the addend known to be computed. Every node belongs to exactly one chain; most are alone in
 * theirs. */
#ifndef SHARED_GRAPH_GRAPH_CHAINS_H
#define SHARED_GRAPH_GRAPH_CHAINS_H

#include "shared/graph/graph.h"

/* What an engine can fuse: true if its step for `host` can also compute `follower`, which is an OP_ADD of two inputs or
 * an OP_ACTIVATION. An activation may follow the host or the addition. */
typedef bool graph_fuses(const struct node *host, const struct node *follower);

struct graph_chains {
    struct arena arena;
    int *host;      /* [node_count] the first node of this node's chain */
    int *last;      /* [node_count] the last node of this node's chain */
    int *next;      /* [node_count] the next node of the chain, or -1 */
    int *readers;   /* [node_count] how often needed nodes read this value */
    bool *needed;   /* [node_count] a retained value depends on it */
    bool *retained; /* [node_count] */
};

/* One chain as a step. */
struct graph_chain {
    int host, last; /* nodes; the same if the chain has one node */
    int addend;     /* node whose value is added, or -1 */
    int activation; /* node, or -1 */
};

/* retained[retained_count]: nodes whose values must exist. *chains is initialised here; on error it is released.
 * STATUS_INTERNAL when out of memory. */
enum status graph_chains_find(struct graph_chains *chains, const struct graph *graph, const int *retained,
                              int retained_count, graph_fuses *fuses, struct error *err);
void graph_chains_release(struct graph_chains *chains); /* a zeroed one is allowed */

/* True if an engine has a step here: the node is needed and its chain ends with it. The input is such a node too. */
bool graph_chains_ends_at(const struct graph_chains *chains, int node);
/* The chain that ends at node `last`. */
struct graph_chain graph_chain_ending_at(const struct graph_chains *chains, const struct graph *graph, int last);

#endif
