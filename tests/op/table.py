"""The rows of src/op/op_table.h, as the C preprocessor would read them."""
import pathlib
import re
from collections import namedtuple

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TABLE = ROOT / "src" / "op" / "op_table.h"

Row = namedtuple("Row", "id name role precision ggml torch parameters")


def rows():
    """{id: Row}; parameters are {name: (type, word)}."""
    text = re.sub(r"/\*.*?\*/", "", TABLE.read_text(), flags=re.DOTALL)
    found = {}
    for body in re.findall(r"^LS_OP_ROW\((.*?)\)\n(?=\n|LS_OP_ROW|\Z)", text, flags=re.DOTALL | re.MULTILINE):
        parameters = {name: (kind, int(word)) for name, kind, word in re.findall(r'P\("(\w+)", (\w+), (\d+)\)', body)}
        head = re.sub(r'"\s*\n\s*"', "", body)  # adjacent literals are one
        identity, rest = head.split(",", 1)
        strings = re.findall(r'"([^"]*)"', rest)
        role, precision = re.match(r'\s*"[^"]*", (\w+), (\w+),', rest).groups()
        found[identity] = Row(identity, strings[0], role, precision, strings[1].split(), strings[2].split(), parameters)
    return found
