/* Writes a quantised student as a web page: student.html, which needs no server and no network. It takes a photo from a
 * file or a camera and shows the classes. Its first script is the network in plain JavaScript, for pages of one's own:
 * it gives the logits of int8_run and the pixels of image_resize, bit for bit. */
#ifndef FORMATS_EXPORT_STUDENT_HTML_H
#define FORMATS_EXPORT_STUDENT_HTML_H

#include "formats/export/model_card.h"
#include "shared/quantise/int8_net.h"

/* The card's size and channels are those of the network's input. *text is malloc'ed; the caller frees it. */
enum status student_html_write(const struct int8_net *net, const struct model_card *card, char **text, size_t *size,
                               struct error *err);

#endif
