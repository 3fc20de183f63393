"""Right conversions of the zoo as checkpoints: the folder that transformers saved against the GGUF file that the converter made of it."""
import collections
import json
import subprocess

import transformers

import keeper
from animals import COMMON


def known_keys(kind):
    """The keys that the class of a configuration has, under each of their names."""
    made = transformers.CONFIG_MAPPING[kind]
    return set(made().to_dict()) | set(made.attribute_map)


def reference(animal, case):
    """The folder, without the common sizes that the model's class does not read: the zoo writes them into every config.json."""
    def make(folder):
        folder.mkdir()
        for file in (case / "hf").iterdir():
            (folder / file.name).symlink_to(file.resolve())
        config = json.loads((case / "hf" / "config.json").read_text())
        known = known_keys(animal.kind) | set(animal.written)
        (folder / "config.json").unlink()
        (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if key in known or key not in COMMON}))
    return keeper.once(case / "checkpoint", keeper.digest(keeper.model_key(animal), keeper.source("checkpoints.py")), make)


def found(report):
    """Kind of finding -> how many, of those that keep a right conversion from being a match."""
    return dict(collections.Counter(finding["kind"] for finding in report["findings"] if finding["fails"] or finding["gap"]))


def visit(animal, case, kind):
    """Verdict and findings of `lockstep diff FOLDER MODEL.gguf`."""
    keeper.bred(animal, case)
    keeper.converted(animal, case, kind)
    file = case / f"checkpoint-{kind}.json"
    file.unlink(missing_ok=True)
    done = subprocess.run([keeper.LOCKSTEP, "diff", reference(animal, case), case / kind / "model.gguf", "--json", file], capture_output=True, text=True, timeout=300)
    (case / f"checkpoint-{kind}.txt").write_text(done.stdout + done.stderr)
    if not file.exists():
        raise keeper.Stopped("lockstep diff: " + keeper.first_lines(done.stderr))
    report = json.loads(file.read_text())
    return {"verdict": report["verdict"], "findings": found(report), "status": done.returncode, "texts": [finding["text"] for finding in report["findings"] if finding["fails"] or finding["gap"]]}
