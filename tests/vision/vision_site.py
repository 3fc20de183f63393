"""Makes the packages of packages.txt importable.

torchvision's wheel is built for a torch with CUDA, so its operators don't load. Those that it refers to when it is
imported are declared first; nothing here calls them.
"""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SITE = ROOT / ".deps" / "vision"
if str(SITE) not in sys.path:
    sys.path.append(str(SITE))

import torch  # noqa: E402


def declare_operators():
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


if "torchvision" not in sys.modules:
    LIBRARY = declare_operators()
import torchvision  # noqa: E402,F401
