/* Floats as people write them. */
#ifndef SHARED_BASE_NUMBER_TEXT_H
#define SHARED_BASE_NUMBER_TEXT_H

enum { FLOAT_TEXT_SIZE = 24 };

/* Writes the shortest decimal that reads back as the same float (0.05, not 0.0500000007) to text, and returns text. */
const char *float_text(float value, char text[FLOAT_TEXT_SIZE]);

#endif
