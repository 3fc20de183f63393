"""What the tests of a suite come to: a line each, written as they end, so that it is known
of a suite that is killed, too. Each line is a JSON array of an event and a name.

planned   will be run            passed, failed, skipped   has ended
begun     runs now               done                      has ended, and is no test by itself
progress  something was done
"""
import json
import os

ENDS = ("passed", "failed", "skipped", "done")


def note(event, name):
    folder = os.environ.get("LOCKSTEP_RESULTS")
    if folder:
        with open(os.path.join(folder, "journal"), "a") as file:
            file.write(json.dumps([event, name]) + "\n")


def read(folder):
    """name -> its last event, in the order in which names were first told."""
    last = {}
    try:
        lines = open(os.path.join(folder, "journal")).read().splitlines()
    except FileNotFoundError:
        return last
    for line in lines:
        try:
            event, name = json.loads(line)
        except ValueError:
            continue  # cut off: whoever wrote it was killed
        if event != "progress" and (last.get(name) not in ENDS or event == "failed"):
            last[name] = event
    return last
