"""Makes torchvision importable: in the environment itself, or below $LOCKSTEP_VISION_SITE.

A torchvision that was built for another torch than the one that is here doesn't load its operators, which it refers to
when it is imported, and which nothing here calls. They are declared first.
"""
import importlib.util
import os
import sys

import pytest

if os.environ.get("LOCKSTEP_VISION_SITE"):
    sys.path.insert(0, os.environ["LOCKSTEP_VISION_SITE"])
HAS_TORCHVISION = importlib.util.find_spec("torchvision") is not None
if HAS_TORCHVISION:
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        LIBRARY = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in [each for each in sys.modules if each.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        import torchvision  # noqa: F401


@pytest.fixture(scope="session")
def with_torchvision():
    if not HAS_TORCHVISION:
        pytest.skip("torchvision isn't installed")
