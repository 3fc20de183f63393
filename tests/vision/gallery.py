"""One vision-language model from its row to a verdict: made, converted, run in transformers and in both engines, compared.

Each step's files are kept in the case's folder, and made again when what they depend on changes (tests/zoo/keeper.py).
"""
import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "zoo"), str(HERE.parent)]
import vision_site  # noqa: E402,F401  (before transformers, which asks once what there is)
import keeper  # noqa: E402
import looking  # noqa: E402
import planted  # noqa: E402
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
    if not file.exists():
        part = case / f"{scene}.{os.getpid()}.png"
        scenes.SCENES[scene](row.side).save(part)
        part.rename(file)  # several processes may want it
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


def candidate(row, case, scene, engine, at=None):
    """at: the folder of a fault, whose model is run."""
    def make(folder):
        recorded(folder, *command_of(engine, (at or case) / "model", picture(row, case, scene)))
    return keeper.once((at or case) / f"candidate-{engine}-{scene}", key(row, keeper.hooks_key(), at and fault_key()), make)


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


# --- planted faults

def fault_key():
    return [path.read_bytes() for path in (HERE / "sight_faults.py", HERE.parent / "zoo" / "planted.py")]


def faulty_reference(row, case, scene, at, fault):
    """The reference, with a fault in its code."""
    def make(folder):
        torch.set_num_threads(1)
        model = looking.load(row, case / "model" / "hf")
        fault.plant(model)
        with keeper.lockstep_debug.capture(model, out=folder):
            looking.look(model, row, looking.pixels(case / "model" / "hf", picture(row, case, scene)))
    return keeper.once(at / "reference", key(row, keeper.hooks_key(), fault_key()), make)


def faulty_candidate(row, case, scene, at, fault, engine):
    """The candidate, with a fault in its files."""
    def make(folder):
        folder.mkdir()
        (folder / "model.gguf").symlink_to(case / "model" / "model.gguf")
        planted.plant(case / "model" / "mmproj.gguf", folder / "mmproj.gguf", fault.plant)
    keeper.once(at / "model", key(row, fault_key()), make)
    return candidate(row, case, scene, engine, at)


def plant(fault, folder, scene="photograph", engine="server"):
    """The candidate's trace, and the report, of a run with this fault."""
    row = towers.BY_NAME[fault.tower]
    case = folder / row.name
    at = case / "-".join(fault.name.replace("'", "").split())
    at.mkdir(parents=True, exist_ok=True)
    made(row, case)
    if fault.place == "code":
        sides = faulty_reference(row, case, scene, at, fault), candidate(row, case, scene, engine)
    else:
        sides = reference(row, case, scene), faulty_candidate(row, case, scene, at, fault, engine)
    return sides[1], diff(*sides, at / "report")[1]


def behind(nodes, at, seen):
    """The names of what a node is computed from through views and reshapes, as far as a weight."""
    for i in nodes[at].get("src", []):
        if i in nodes and i not in seen:
            seen.add(i)
            if nodes[i].get("role") == "weight":
                yield nodes[i]["name"]
            elif nodes[i]["op"] in MOVES:
                yield from behind(nodes, i, seen)


MOVES = ("VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE", "CONT", "CPY")


def origins(report, fault):
    """Operations at fault, without the live faults of the engine."""
    live = towers.BY_NAME[fault.tower].known
    found = [each for each in (report["replay"] or {"operations": []})["operations"] if each["origin"]]
    return [each for each in found if not any(each["op"] == op and part in each["name"] for op, part, _ in live)]


def is_named(fault, trace, report):
    """Whether the first operation at fault, with those that are named together with it, is the one that was altered."""
    nodes = {line["i"]: line for line in map(json.loads, open(trace / "trace.jsonl")) if "i" in line}
    first = (report["first_divergence"] or {}).get("candidate", {}).get("name", "")
    if fault.names:
        return fault.names in first
    found = origins(report, fault)[:1]
    own = [i for each in found for i in [each["node"], *(each["region"] or [])]]
    weights = {name for i in own for name in behind(nodes, i, set())}
    return bool(weights & set(fault.weights)) or any(nodes[i]["op"] in fault.ops for i in own)


def first_cause(fault, report):
    """The id of the first-ranked cause: of the first divergence, or of the first operation at fault beside the live ones."""
    live = towers.BY_NAME[fault.tower].known
    found = origins(report, fault)[:1]
    if live:
        of = [(each.get("wrong_weight") or {}).get("id") or (each["rule"] or {}).get("id") for each in found]
        return of[0] if of else None
    causes = (report["first_divergence"] or {}).get("causes") or [{"rule": None}]
    return causes[0]["rule"]
