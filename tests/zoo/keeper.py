"""One architecture from its row to a verdict: made, converted, run in both engines, compared.

Each step's files are kept in the case's folder, and made again when what they depend on changes.
"""
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "python")]
sys.path.append(str(ROOT / "tests" / "e2e"))  # of which the faults are
import safetensors  # noqa: E402
from lockstep_debug import model_files  # noqa: E402

model_files.observe_safetensors(safetensors)  # before transformers takes safe_open from it, as the start-up hook does
import torch  # noqa: E402
import transformers  # noqa: E402

import lockstep_debug  # noqa: E402
import breeding  # noqa: E402
import conversion_lab  # noqa: E402

LOCKSTEP = ROOT / "build" / "lockstep"
ENGINE = ROOT / ".deps" / "llama-v0.5.0"
PROMPT = [45, 17, 250, 33, 80, 99, 120, 301, 70, 64, 111, 45, 200, 150, 77, 31, 90, 260, 130, 28]
STEPS = [53, 91]
BEGIN, END = 1, 5  # <s> and [SEP], between which the engine puts what an encoder is given


class Stopped(Exception):
    """Why there is no verdict."""


def first_lines(text, pattern=("rror", "ailed", "unknown", "missing")):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join([line for line in lines if any(word in line for word in pattern)][:2] or lines[-1:])[:300]


def run(command, timeout=300):
    try:
        return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Stopped(f"longer than {timeout} s: {pathlib.Path(str(command[0])).name}") from None


def digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def source(*names):
    return [(HERE / name).read_bytes() for name in names]


def once(folder, key, make):
    """folder, made by make(folder) unless it was made under this key."""
    stamp = folder.with_name(folder.name + ".made")
    if not (stamp.exists() and stamp.read_text() == key):
        stamp.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        make(folder)
        stamp.write_text(key)
    return folder


def model_key(animal):
    return digest(animal.kind, animal.config, animal.auto, animal.written, source("breeding.py"), transformers.__version__)


def hooks_key():
    hooks = sorted((ROOT / "python" / "lockstep_debug").glob("*.py")) + [ROOT / "build" / "liblockstep-ggml.so"]
    return digest([path.read_bytes() for path in hooks])


def bred(animal, case):
    def make(folder):
        try:
            breeding.save(animal, folder)
        except Exception as error:
            raise Stopped(f"transformers: {type(error).__name__}: {error}"[:300]) from error
    return once(case / "hf", model_key(animal), make)


def converted(animal, case, kind):
    def make(folder):
        folder.mkdir()
        try:
            architecture = conversion_lab.convert(case / "hf", folder / "model.gguf", kind)
        except (Exception, SystemExit) as error:
            (folder / "trouble").write_text(traceback.format_exc())
            raise Stopped(f"converter: {type(error).__name__}: {error}"[:300]) from error
        (folder / "architecture").write_text(architecture)
    return once(case / kind, digest(model_key(animal), source("conversion_lab.py")), make)


def prompt_of(animal):
    return [BEGIN, *PROMPT, END] if animal.is_encoder else PROMPT


def forward(model, animal):
    with torch.no_grad():
        if animal.is_encoder:
            return model(input_ids=torch.tensor([prompt_of(animal)]))
        out = model(input_ids=torch.tensor([PROMPT]), use_cache=True)
        for position, token in enumerate(STEPS, len(PROMPT)):
            name = next(key for key in ("past_key_values", "cache_params", "state") if out.get(key) is not None)
            more = {"cache_position": torch.tensor([position])} if name == "cache_params" else {}
            out = model(input_ids=torch.tensor([[token]]), **{name: out[name]}, use_cache=True, **more)


def reference(animal, case):
    def make(folder):
        torch.set_num_threads(1)
        model = getattr(transformers, animal.auto).from_pretrained(case / "hf", dtype=torch.float32).eval()
        try:
            with lockstep_debug.capture(model, out=folder):
                forward(model, animal)
        except Exception as error:
            raise Stopped(f"transformers: {type(error).__name__}: {error}"[:300]) from error
    return once(case / "reference", digest(model_key(animal), hooks_key(), prompt_of(animal), STEPS), make)


def capture(animal, model, out):
    """The engine's trace of a model file."""
    options = {"engine": str(ENGINE), "model": str(model), "prompt": prompt_of(animal), "steps": STEPS, "encoder": animal.is_encoder}
    done = run([LOCKSTEP, "capture", "-o", out, "--", "node", HERE / "run_engine.mjs", json.dumps(options)], 120)
    if done.returncode:
        raise Stopped("engine: " + first_lines(done.stderr))


def candidate(animal, case, kind):
    def make(folder):
        capture(animal, case / kind / "model.gguf", folder)
    return once(case / f"candidate-{kind}", digest(model_key(animal), hooks_key(), source("conversion_lab.py", "run_engine.mjs"), prompt_of(animal), STEPS), make)


def compare(case, kind, at=None):
    """at: the folder of a candidate with a fault, instead of the clean one."""
    start = time.monotonic()
    trace, stem = (at / "candidate", at / "report") if at else (case / f"candidate-{kind}", case / f"report-{kind}")
    done = run([LOCKSTEP, "diff", case / "reference", trace, "--json", f"{stem}.json"], 900)
    pathlib.Path(f"{stem}.txt").write_text(done.stdout + done.stderr)
    try:
        report = json.loads(pathlib.Path(f"{stem}.json").read_text())
    except (OSError, ValueError):
        raise Stopped("lockstep diff: " + first_lines(done.stderr)) from None
    return report, time.monotonic() - start


def visit(animal, case, kind):
    """The report of this architecture in this type."""
    bred(animal, case)
    converted(animal, case, kind)
    reference(animal, case)
    candidate(animal, case, kind)
    return compare(case, kind)
