"""Pictures to look at, of the size that a tower takes, so that nothing is resized: a photograph, and one that is drawn."""
import pathlib

import numpy as np
import PIL.Image
import sklearn.datasets

PHOTOGRAPH = pathlib.Path(sklearn.datasets.__file__).parent / "images" / "china.jpg"
CORNER = (200, 120)  # of the part with the roof: sky alone would say little


def photograph(side):
    x, y = CORNER
    return PIL.Image.open(PHOTOGRAPH).convert("RGB").crop((x, y, x + side, y + side))


def drawing(side):
    """Gradients, edges and noise; no symmetry under which a fault could hide."""
    draw = np.random.default_rng(1)
    y, x = np.mgrid[:side, :side]
    picture = np.stack([255 * x / side, 255 * y / side, 127 + 127 * np.sin(x / 3) * np.cos(y / 5)], -1)
    picture[side // 4:side // 2, side // 3:side // 2] = (250, 10, 30)
    picture += draw.normal(0, 12, picture.shape)
    return PIL.Image.fromarray(picture.clip(0, 255).astype(np.uint8))


SCENES = {"photograph": photograph, "drawing": drawing}
