/* Writes the answers that a cache holds as another program's answers, for scripts. A separate program, like
 * synthetic_images.
 * usage: answers_of CACHE FOLDER */
#include "tests/helper_answers.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: answers_of CACHE FOLDER\n");
        return 64;
    }
    write_answers(argv[2], argv[1], 100);
    return 0;
}
