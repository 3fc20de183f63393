"""One vision-language model from its row to a verdict: made, converted, run in transformers and in both engines, compared.

Each step's files are kept in the case's folder, and made again when what they depend on changes (tests/zoo/keeper.py).
"""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "zoo")]
import vision_site  # noqa: E402,F401  (before transformers, which asks once what there is)
import keeper  # noqa: E402
import towers  # noqa: E402
import projector_files  # noqa: E402
import scenes  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

ROOT = keeper.ROOT
LINKED = ROOT / ".deps" / "llama-linked"
ENGINES = ("server", "linked")
SOURCES = ("tower_models.py", "projector_files.py", "looking.py", "scenes.py", "run_server.py", "run_linked_picture.mjs", "run_picture.py")


def key(row, *more):
    own = [(HERE / name).read_bytes() for name in SOURCES]
    return keeper.digest(row.name, row.processor, row.side, row.ids, own, transformers.__version__, (HERE / "packages.txt").read_text(), *more)


def made(row, case):
    """case/model: hf, model.gguf, mmproj.gguf"""
    def make(folder):
        torch.manual_seed(keeper.breeding.SEED)
        model = row.built(row.make)
        model.save_pretrained(folder / "hf")
        projector_files.save_processor(folder / "hf", row.processor)
        row.files(model, folder / "hf", folder)
    return keeper.once(case / "model", key(row), make)


def picture(row, case, scene):
    file = case / f"{scene}.png"
    scenes.SCENES[scene](row.side).save(file)
    return file


def recorded(out, *command):
    done = keeper.run([keeper.LOCKSTEP, "capture", "-o", out, "--", *command])
    if done.returncode:
        raise keeper.Stopped(f"{command[0]}: " + keeper.first_lines(done.stderr + done.stdout))


def reference(row, case, scene):
    def make(folder):
        recorded(folder, sys.executable, HERE / "run_picture.py", row.name, case / "model" / "hf", picture(row, case, scene))
    return keeper.once(case / f"reference-{scene}", key(row, keeper.hooks_key()), make)


def prompt():
    return "".join(f"<t{i}>" for i in towers.BEFORE) + "<__media__>" + "".join(f"<t{i}>" for i in towers.AFTER)


def command_of(engine, files, seen):
    model, mmproj = files / "model.gguf", files / "mmproj.gguf"
    if engine == "server":
        return [sys.executable, HERE / "run_server.py", model, mmproj, seen, prompt()]
    options = {"engine": str(LINKED), "model": str(model), "mmproj": str(mmproj), "picture": str(seen), "prompt": prompt()}
    return ["node", HERE / "run_linked_picture.mjs", json.dumps(options)]


def candidate(row, case, scene, engine, files="model"):
    """files: the folder with model.gguf and mmproj.gguf, which may be faulty ones."""
    def make(folder):
        recorded(folder, *command_of(engine, case / files, picture(row, case, scene)))
    return keeper.once(case / f"candidate-{files}-{engine}-{scene}", key(row, keeper.hooks_key()), make)


def diff(reference, candidate, stem, *options):
    """(exit status, JSON, text)"""
    done = keeper.run([keeper.LOCKSTEP, "diff", reference, candidate, "--json", f"{stem}.json", *options], 900)
    pathlib.Path(f"{stem}.txt").write_text(done.stdout + done.stderr)
    try:
        return done.returncode, json.loads(pathlib.Path(f"{stem}.json").read_text()), done.stdout
    except (OSError, ValueError):
        raise keeper.Stopped("lockstep diff: " + keeper.first_lines(done.stderr)) from None


def visit(row, case, scene, engine):
    """The report of this model, seeing this scene in this engine."""
    case.mkdir(parents=True, exist_ok=True)
    made(row, case)
    return diff(reference(row, case, scene), candidate(row, case, scene, engine), case / f"report-{engine}-{scene}")
