#!/usr/bin/env python3
"""The vision lab: towers and whole models, small and random, in transformers and in two engines, compared without any option; and faults
planted in them, which have to be named with their cause.

    vision.py [--only gemma3,llava] [--clean | --faults] [--folder FOLDER]

Two processes at a time. The last lines count what came out; the exit status is 1 if anything is not as it should be, known failures aside.
"""
import argparse
import collections
import multiprocessing
import os
import pathlib
import sys
import traceback

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gallery  # noqa: E402
import keeper  # noqa: E402
import mllama_lab  # noqa: E402
import sight_faults  # noqa: E402
import towers  # noqa: E402

ENOUGH = 95  # % of elements that are found or covered


def of_clean(row, folder, scene, engine):
    status, report, _ = gallery.visit(row, folder / row.name, scene, engine)
    elements = report["replay"]["elements"]
    share = 100 * (elements["found"] + elements["covered"]) / sum(elements.values())
    live = [(each["op"], each["name"]) for each in report["replay"]["operations"] if each["origin"]]
    expected = all(any(op == at and part in name for at, part, _ in row.known) for op, name in live) and all(any(op == at and part in name for op, name in live) for at, part, _ in row.known)
    causes = [cause["rule"] for cause in (report["first_divergence"] or {"causes": []})["causes"]][:1]
    expected = expected and causes == [cause for _, _, cause in row.known][:1] and (status, report["verdict"]) == ((1, "diverged") if row.known else (0, "match"))
    return {"line": f"{row.name:16} {scene:10} {engine:6} {report['verdict']:9} {share:5.1f} % found or covered {live or ''} {causes or ''}", "place": expected and share >= ENOUGH, "cause": None, "known_place": row.pending}


def of_fault(fault, folder):
    trace, report = gallery.plant(fault, folder)
    place, cause = gallery.is_named(fault, trace, report), gallery.first_cause(fault, report)
    return told(f"{fault.tower}: {fault.name}", place and report["verdict"] == "diverged", cause, fault)


def of_bug(bug, folder):
    status, report, _ = mllama_lab.compared(folder / "mllama", bug.name)
    first = report["first_divergence"] or {"candidate": {"name": None}, "causes": []}
    cause = first["causes"][0]["rule"] if first["causes"] else None
    return told(f"mllama: {bug.name}", (status, first["candidate"]["name"]) == (1, bug.tensor), cause, bug)


def of_left_out(folder):
    """Llama 3.2 Vision without its cross-attention while it decodes: that these layers are never run has to be said."""
    _, report, _ = mllama_lab.without_cross_attention(folder / "mllama")
    said = any("runs nothing of layer 1 and 1 more in 2 passes" in hint for hint in report["hints"])
    return {"line": f"mllama: cross-attention left out of decoding: {report['verdict']}, {'said' if said else 'NOT SAID'}", "place": said and report["verdict"] == "diverged", "cause": None, "known_place": ""}


def told(what, place, cause, planted):
    judged = "right" if cause in planted.causes else "wrong" if cause else "unexplained"
    return {"line": f"{what:70} {'named' if place else 'MISSED':6} cause {judged}{f' ({cause})' if cause else ''}", "place": place, "cause": judged, "known_place": planted.known_place, "known_cause": planted.known_cause}


WORKS = []  # which forked processes inherit: rows hold functions, which can't be sent


def attempt(number):
    work = WORKS[number]
    try:
        return work[0](*work[1:])
    except Exception as error:
        traceback.print_exc()
        return {"line": f"{work[0].__name__} {getattr(work[1], 'name', '')}: {error}", "place": False, "cause": None, "known_place": "", "known_cause": ""}


def run(works, jobs=2):
    WORKS[:] = works
    with multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1) as pool:
        yield from pool.imap(attempt, range(len(works)))


def clean_runs(rows, folder, scenes=("photograph", "drawing"), engines=gallery.ENGINES):
    return [(of_clean, row, folder, scene, engine) for row in rows for scene in scenes for engine in engines]


def prepare(rows, folder, scenes=("photograph", "drawing")):
    """What several runs share, made once: models, references, and the candidate beside which faults are looked at."""
    for row in rows:
        (folder / row.name).mkdir(parents=True, exist_ok=True)
        gallery.made(row, folder / row.name)
        for scene in scenes:
            gallery.reference(row, folder / row.name, scene)
        gallery.candidate(row, folder / row.name, "photograph", "server")


def is_unexpected(result):
    place = not result["place"] and not result.get("known_place")
    return place or result["cause"] not in (None, "right") and not result["known_cause"] and not result["known_place"]


def totals(results):
    causes = collections.Counter(result["cause"] for result in results if result["cause"])
    named = sum(result["place"] for result in results if result["cause"])
    number = sum(causes.values())
    clean = [result for result in results if result["cause"] is None]
    text = f"{sum(result['place'] for result in clean)} of {len(clean)} clean runs as they should be"
    return text + f"; {number} planted faults: {named} named where they are; causes named first: {causes['right']} right, {causes['wrong']} wrong, {causes['unexplained']} unexplained ({100 * causes['right'] / max(number, 1):.0f} % right)"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names of towers, between commas; mllama is one")
    parser.add_argument("--folder", type=pathlib.Path, default=keeper.ROOT / "build" / "vision")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--clean", action="store_true")
    part.add_argument("--faults", action="store_true")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else [*towers.BY_NAME, "mllama"]
    rows = [towers.BY_NAME[name] for name in wanted if name != "mllama"]
    prepare(rows, options.folder)
    works = [] if options.faults else clean_runs(rows, options.folder)
    if not options.clean:
        works += [(of_fault, fault, options.folder) for fault in sight_faults.FAULTS if fault.tower in wanted]
        works += [(of_bug, bug, options.folder) for bug in mllama_lab.BUGS if "mllama" in wanted]
        works += [(of_left_out, options.folder)] if "mllama" in wanted else []
    if "mllama" in wanted:
        mllama_lab.recorded(options.folder / "mllama", "tower", "--tower")
    results = []
    for result in run(works):
        results.append(result)
        print(("UNEXPECTED " if is_unexpected(result) else "") + result["line"], flush=True)
    print(totals(results))
    sys.exit(any(map(is_unexpected, results)))


if __name__ == "__main__":
    main()
