/* Libraries that do not come back when memory runs out: C++ code throws what C code does not catch, and libhdf5 calls
 * itself for ever. The program then ends with a message and its own code, instead of a crash. */
#ifndef SHARED_BASE_OUT_OF_MEMORY_H
#define SHARED_BASE_OUT_OF_MEMORY_H

#include <stdbool.h>

/* Only in main: a library that we are part of must not end a program of others. text: a whole line for stderr. */
void out_of_memory_install(const char *text);
bool out_of_memory_installed(void);
/* Prints the text and ends the program with STATUS_INTERNAL. A signal handler may call it. Returns if it is not
 * installed. */
void out_of_memory(void);

#endif
