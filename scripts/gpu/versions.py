#!/usr/bin/env python3
"""Prints the versions of PyTorch and its CUDA libraries as one JSON line."""
import json

import torch

try:
    import torchvision
    vision = torchvision.__version__
except ImportError:
    vision = "none"
print(json.dumps({"torch": torch.__version__, "cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version()),
                  "torchvision": vision}))
