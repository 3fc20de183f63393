"""transformers on the same tokens and the same picture. argv: TOWER HF_DIR PICTURE"""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e"), str(HERE.parent / "zoo")]
import vision_site  # noqa: E402,F401
import looking  # noqa: E402
import torch  # noqa: E402
import towers  # noqa: E402

NAME, FOLDER, PICTURE = sys.argv[1:4]
torch.set_num_threads(1)
row = towers.BY_NAME[NAME]
looking.look(looking.load(row, FOLDER), row, looking.pixels(FOLDER, PICTURE))
