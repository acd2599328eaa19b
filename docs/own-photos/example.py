"""What a newcomer has: a folder of photos from a phone, and a checkpoint.

    example.py SYNTHETIC OUT      SYNTHETIC: a folder of build/synthetic_images with 10 classes (class_000, ...)

OUT/photos/train/1 ... train/10 and OUT/photos/test: half of the photos are PNG, some JPEG files have an EXIF orientation, one is truncated, and
there is one HEIC. OUT/best.pt: the checkpoint of teacher.py. OUT/truth.csv: the classes of the test photos, which nobody has."""
import random
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from teacher import make_model

SIZE, CLASSES, EPOCHS = 64, 10, 40


def save_photo(photo, path, number):
    if number % 2:
        photo.save(path.with_suffix(".png"))
        return path.with_suffix(".png")
    exif = Image.Exif()
    if number % 6 == 0:
        exif[0x0112] = 6  # held upright
    photo.save(path.with_suffix(".jpg"), quality=92, exif=exif)
    return path.with_suffix(".jpg")


def make_photos(synthetic, out):
    """Returns the training photos and their classes, and writes the truth about the test photos."""
    training, rows, number = [], [], 0
    for label in range(CLASSES):
        folder = out / "photos" / "train" / str(label + 1)
        folder.mkdir(parents=True)
        for i, path in enumerate(sorted((synthetic / "train" / f"class_{label:03d}").iterdir())):
            training.append((save_photo(Image.open(path).convert("RGB"), folder / f"IMG_{i:04d}", i), label))
    test = [(path, label) for label in range(CLASSES) for path in (synthetic / "val" / f"class_{label:03d}").iterdir()]
    random.Random(1).shuffle(test)
    folder = out / "photos" / "test"
    folder.mkdir()
    for number, (path, label) in enumerate(test, 1):  # 1.png, 2.jpg, ..., as phones count: without leading zeros
        save_photo(Image.open(path).convert("RGB"), folder / str(number), number)
        rows.append(f"{number},{label + 1}")
    (out / "truth.csv").write_text("Id,Category\n" + "\n".join(rows) + "\n")
    (out / "photos" / "train" / "1" / "IMG_9999.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    return training


def break_one(path):
    path.write_bytes(path.read_bytes()[:-300])


def read_batch(files):
    """Pixels from 0 to 255 of the short side resized to SIZE and the middle: no ToTensor, no Normalize."""
    images = []
    for file in files:
        image = Image.open(file).convert("RGB")
        scale = SIZE / min(image.size)
        image = image.resize([max(SIZE, int(side * scale)) for side in image.size], Image.BILINEAR)
        left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
        images.append(np.asarray(image.crop((left, top, left + SIZE, top + SIZE)), dtype=np.float32))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def train(training, out):
    torch.manual_seed(1)
    model, labels = make_model(), torch.tensor([label for _, label in training])
    images = read_batch([file for file, _ in training])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        right = (model(images).argmax(1) == labels).float().mean().item()
    torch.save({"state_dict": model.state_dict(), "epoch": EPOCHS}, out / "best.pt")
    print(f"the checkpoint is right on {100 * right:.1f} % of its own training photos")


if __name__ == "__main__":
    synthetic, out = Path(sys.argv[1]), Path(sys.argv[2])
    training = make_photos(synthetic, out)
    train(training, out)
    break_one(training[0][0])
