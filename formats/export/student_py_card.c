/* What a model card adds to student.py: from a file to the network's input, from logits to names of classes. */
#include "formats/export/student_py_script.h"

#include <stdlib.h>

static const char heading[] =
    "\"\"\"A student written by softcache: its network, and how it sees a photo. Needs torch and Pillow.\n"
    "\n"
    "    python student.py [--weights student.safetensors] PHOTO ...\n"
    "\n"
    "prints the class of each photo with its probability. In a program of your own:\n"
    "\n"
    "    model = Student()\n"
    "    model.load_state_dict(load_weights(\"student.safetensors\"), strict=True)\n"
    "    model.eval()\n"
    "    logits = model(preprocess(\"photo.jpg\"))  # [1, classes]; preprocess also takes a PIL image\n"
    "\"\"\"\n"
    "import argparse\n"
    "import json\n"
    "import os\n"
    "\n"
    "import torch\n"
    "import torch.nn.functional as F\n"
    "from PIL import Image, ImageOps\n"
    "from torch import nn\n"
    "\n";

static const char functions[] =
    "\n"
    "\n"
    "def resize(image, side, mode=\"shorter\"):\n"
    "    \"\"\"Of a PIL image: the shorter side becomes `side`, as torchvision's Resize(side) does it, or both do\n"
    "    (squash), or the longer one does, with black beside or above and below (pad).\"\"\"\n"
    "    if side == 0:\n"
    "        return image\n"
    "    whole = min(image.size) if mode == \"shorter\" else max(image.size)\n"
    "    size = (side, side) if mode == \"squash\" else tuple(max(int(side * n / whole), 1) for n in image.size)\n"
    "    # columns first, then rows, as Pillow does it up to version 12; later ones take the cheaper order\n"
    "    for step in ((size[0], image.height), size):\n"
    "        if step != image.size:\n"
    "            image = image.resize(step, Image.BILINEAR)\n"
    "    return center_crop(image, side) if mode == \"pad\" else image\n"
    "\n"
    "\n"
    "def center_crop(image, side):\n"
    "    \"\"\"torchvision's CenterCrop(side): what lies outside of the image is black.\"\"\"\n"
    "    left, top = (round((n - side) / 2) if n >= side else -((side - n) // 2) for n in image.size)\n"
    "    return image.crop((left, top, left + side, top + side))\n"
    "\n"
    "\n"
    "def preprocess(image):\n"
    "    \"\"\"A file or PIL image as [1, channels, size, size]: the pixels that `student_train predict` gives "
    "it.\"\"\"\n"
    "    if not isinstance(image, Image.Image):\n"
    "        image = Image.open(image)\n"
    "    if PREPROCESSING[\"exif\"] == \"honour\":\n"
    "        image = ImageOps.exif_transpose(image)\n"
    "    image = image.convert(\"RGB\").convert(PREPROCESSING[\"color\"])\n"
    "    image = resize(image, PREPROCESSING[\"resize\"], PREPROCESSING[\"resize_mode\"])\n"
    "    image = resize(center_crop(image, PREPROCESSING[\"crop\"]), PREPROCESSING[\"size\"])\n"
    "    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)\n"
    "    pixels = pixels.reshape(image.height, image.width, -1).permute(2, 0, 1).float() / 255\n"
    "    mean, std = (torch.tensor(PREPROCESSING[name])[:, None, None] for name in (\"mean\", \"std\"))\n"
    "    return ((pixels - mean) / std)[None]\n"
    "\n"
    "\n"
    "def load_weights(path):\n"
    "    \"\"\"The tensors of a safetensors file.\"\"\"\n"
    "    with open(path, \"rb\") as file:\n"
    "        entries = json.loads(file.read(int.from_bytes(file.read(8), \"little\")))\n"
    "        data = bytearray(file.read())\n"
    "    dtypes = {\"F32\": torch.float32, \"I64\": torch.int64}\n"
    "    tensors = {}\n"
    "    for name, entry in entries.items():\n"
    "        if name != \"__metadata__\":\n"
    "            first, end = entry[\"data_offsets\"]\n"
    "            tensor = torch.frombuffer(data[first:end], dtype=dtypes[entry[\"dtype\"]])\n"
    "            tensors[name] = tensor.reshape(entry[\"shape\"])\n"
    "    return tensors\n"
    "\n"
    "\n";

static const char main_program[] =
    "if __name__ == \"__main__\":\n"
    "    parser = argparse.ArgumentParser(description=\"Classifies photos.\")\n"
    "    parser.add_argument(\"--weights\", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "
    "\"student.safetensors\"))\n"
    "    parser.add_argument(\"photos\", nargs=\"+\", metavar=\"PHOTO\")\n"
    "    arguments = parser.parse_args()\n"
    "    model = Student()\n"
    "    model.load_state_dict(load_weights(arguments.weights), strict=True)\n"
    "    model.eval()\n"
    "    for photo in arguments.photos:\n"
    "        with torch.no_grad():\n"
    "            probabilities = model(preprocess(photo))[0].softmax(0)\n"
    "        best = int(probabilities.argmax())\n"
    "        print(f\"{photo}: {CLASSES[best]} ({100 * probabilities[best]:.1f} %)\")\n";

/* Writes NAME = JSON; of JSON's words only true, false and null are not Python's, and a card has none of them. */
static bool put_json(const struct student_script *script, const char *name, cJSON *tree)
{
    char *text = json_text(tree, true);
    if (text)
        fprintf(script->out, "%s = %s\n", name, text);
    cJSON_free(text);
    return text != NULL;
}

bool student_py_card(const struct student_script *script, const struct model_card *card)
{
    fputs(heading, script->out);
    const bool ok = put_json(script, "PREPROCESSING", model_card_preprocessing(card)) &&
                    put_json(script, "CLASSES", model_card_classes(card));
    fputs(functions, script->out);
    return ok;
}

void student_py_main(const struct student_script *script)
{
    fputs(main_program, script->out);
}
