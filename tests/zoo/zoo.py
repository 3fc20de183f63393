#!/usr/bin/env python3
"""The zoo: every architecture that llama.cpp's converter knows and transformers can build, small and
random, converted, run in both engines, and compared without any option.

    zoo.py [--only bloom,mpt] [--types f32,q8_0] [--table FILE] [--checkpoints | --faults SEED]

With --checkpoints, only the files are compared: what transformers saved with what the converter made of it.
With --faults, each model gets two faults, drawn at random, which have to be named where they are.

One process imports torch and transformers, and is forked for each architecture.
"""
import argparse
import functools
import json
import multiprocessing
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import animals  # noqa: E402
import checkpoints  # noqa: E402
import keeper  # noqa: E402
import fault_table  # noqa: E402
import faulty  # noqa: E402
import outcome_table  # noqa: E402

BEGIN, END = "<!-- table: make zoo TABLE=docs/zoo.md -->", "<!-- end -->"
FILES_BEGIN = "<!-- table: make zoo CHECKPOINTS=1 TABLE=docs/zoo.md -->"
LIMIT = 900  # seconds for one architecture in one type


def visit(animal, kind, case):
    report, compared = keeper.visit(animal, case, kind)
    return outcome_table.summary(report, compared)


def in_process(work, animal, kind, case, file):
    """Runs in a process of its own: writes what `work` returns as JSON."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    case.mkdir(parents=True, exist_ok=True)
    log = os.open(case / f"log-{kind}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    start = time.monotonic()
    try:
        result = work(animal, kind, case)
    except keeper.Stopped as reason:
        result = {"stopped": str(reason)}
    result["seconds"] = time.monotonic() - start
    architecture = case / kind / "architecture"
    result["architecture"] = architecture.read_text() if architecture.exists() else ""
    file.write_text(json.dumps(result))


def collect(kind, case, file, process):
    if process.exitcode is None:
        process.kill()
        process.join()
        return {"stopped": f"longer than {LIMIT} s"}
    return json.loads(file.read_text()) if file.exists() else {"stopped": f"ended with status {process.exitcode}: " + keeper.first_lines((case / f"log-{kind}").read_text())}


class Queue:
    """Runs visits in forked processes, a few at a time. work(animal, kind, case): what comes out is kept under `name`, and shown as `line`."""

    def __init__(self, folder, jobs, work=visit, name="outcome", line=outcome_table.line):
        self.folder, self.jobs, self.running, self.done = folder, jobs, [], {}
        self.work, self.name, self.line = work, name, line

    def file(self, kind, case):
        return case / f"{self.name}-{kind}.json"

    def start(self, animal, kind):
        case = self.folder / animal.name
        self.file(kind, case).unlink(missing_ok=True)
        process = multiprocessing.get_context("fork").Process(target=in_process, args=(self.work, animal, kind, case, self.file(kind, case)))
        process.start()
        self.running.append((animal, kind, case, process, time.monotonic() + LIMIT))

    def reap(self):
        for entry in list(self.running):
            animal, kind, case, process, deadline = entry
            process.join(0.05)
            if process.exitcode is not None or time.monotonic() > deadline:
                self.running.remove(entry)
                self.done[animal.name, kind] = outcome = collect(kind, case, self.file(kind, case), process)
                print(self.line(animal, kind, outcome), flush=True)

    def run(self, visits):
        waiting = list(visits)
        while waiting or self.running:
            busy = {entry[0].name for entry in self.running}
            ready = next((each for each in waiting if each[0].name not in busy), None)  # types of one architecture share its parts
            if ready and len(self.running) < self.jobs:
                waiting.remove(ready)
                self.start(*ready)
            self.reap()
        return self.done


def kept(folder, name="outcome"):
    """(architecture, type) -> the last outcome, of this run or an earlier one."""
    files = {(animal, kind): folder / animal.name / f"{name}-{kind}.json" for animal in animals.ANIMALS if not animal.without for kind in ("f32", "q8_0")}
    return {key: json.loads(file.read_text()) for key, file in files.items() if file.exists()}


def visit_checkpoints(chosen, types, folder):
    """(architecture, type) -> what came out of comparing the files."""
    done = {}
    for animal, kind in [(animal, kind) for animal in chosen if not animal.without for kind in types]:
        case = folder / animal.name
        case.mkdir(parents=True, exist_ok=True)
        try:
            done[animal, kind] = checkpoints.visit(animal, case, kind)
        except keeper.Stopped as reason:
            done[animal, kind] = {"verdict": "none", "findings": {}, "texts": [str(reason)]}
        print(outcome_table.checkpoint_line(animal, kind, done[animal, kind]), flush=True)
    return done


def write_checkpoints(file, done):
    before, rest = file.read_text().split(FILES_BEGIN)
    file.write_text(before + FILES_BEGIN + "\n" + outcome_table.checkpoint_markdown(done) + END + rest.split(END, 1)[1])


def write_table(file, folder):
    """Replaces what is between the two marks of a page, or writes a page of its own."""
    text = file.read_text() if file.exists() else f"{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN)
    without = [animal for animal in animals.ANIMALS if animal.without]
    planted = {key: outcome.get("faults") for key, outcome in kept(folder, "faults").items()}
    file.write_text(before + BEGIN + "\n" + outcome_table.markdown(kept(folder), planted) + "\n" + outcome_table.absent(without) + END + rest.split(END, 1)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names of architectures, between commas")
    parser.add_argument("--types", default="f32,q8_0")
    parser.add_argument("--folder", type=pathlib.Path, default=keeper.ROOT / "build" / "zoo")
    parser.add_argument("--table", type=pathlib.Path, help="a page, between whose marks the Markdown table is written")
    parser.add_argument("--checkpoints", action="store_true", help="compare the files alone")
    parser.add_argument("--faults", type=int, metavar="SEED", help="plant faults")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    wanted = [name for name in options.only.split(",") if name]
    unknown = set(wanted) - set(animals.BY_NAME)
    if unknown:
        parser.error(f"no such architecture: {', '.join(sorted(unknown))}")
    chosen = [animals.BY_NAME[name] for name in wanted] or animals.ANIMALS
    start = time.monotonic()
    if options.checkpoints:
        done = visit_checkpoints(chosen, options.types.split(","), options.folder)
        print(outcome_table.totals(done, time.monotonic() - start))
        if options.table:
            write_checkpoints(options.table, done)
        return
    visits = [(animal, kind) for animal in chosen if not animal.without for kind in options.types.split(",")]
    if options.faults is not None:
        done = Queue(options.folder, options.jobs, functools.partial(faulty.visit, seed=options.faults), "faults", fault_table.line).run(visits)
        print(fault_table.totals(done, time.monotonic() - start))
    else:
        done = Queue(options.folder, options.jobs).run(visits)
        print(outcome_table.totals(done, time.monotonic() - start))
    if options.table:
        write_table(options.table, options.folder)


if __name__ == "__main__":
    main()
