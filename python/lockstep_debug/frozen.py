"""Frozen scripts: their modules are gone, but until they are saved, each node of the graph
knows the modules that it was inlined from. A value that is used outside the nodes of a
module is an output of that module."""
import re

_PARTS = re.compile(r"([^.()]+)\(([^()]*)\)")
_PACKING = ("prim::TupleConstruct", "prim::ListConstruct")


def scope(node):
    """(name, class) of the modules that a node is within, outermost first. Functions and
    methods of the root count as their module's."""
    return [(name, kind) for name, kind in _PARTS.findall(node.getModuleHierarchy() or "")
            if name not in ("UNKNOWN_INSTANCE", "SELF")]


def mark(graph, marker, is_tensor):
    """Puts markers of scripted.py into the graph: `marker` makes one."""
    _mark_block(graph, graph, graph.return_node(), [], marker, is_tensor)


def _mark_block(graph, block, end, outer, marker, is_tensor):
    """`outer`: the modules that have been entered when the block begins."""
    entered = list(outer)
    nodes = list(block.nodes())
    for node, following in zip(nodes, nodes[1:] + [end]):
        inner = list(node.blocks())
        if node.kind().startswith("prim::") and not inner:
            continue
        here = scope(node)
        while len(entered) > len(outer) and entered != here[:len(entered)]:
            entered.pop()
            marker(graph, "leave", [], node)
        while len(entered) < len(here) and entered == here[:len(entered)]:
            entered.append(here[len(entered)])
            marker(graph, "enter", [_path(entered)], node)
        for each in inner:
            _mark_block(graph, each, each.returnNode(), entered, marker, is_tensor)
        for value in node.outputs():
            if is_tensor(value.type()):
                _mark_outputs(graph, value, here, following, marker)
    for _ in entered[len(outer):]:
        marker(graph, "leave", [], end)


def _path(parts):
    return ".".join(name for name, _ in parts)


def _mark_outputs(graph, value, here, following, marker):
    users = list(_users(value))
    for depth in range(len(here), 0, -1):
        index = next((index for user, index in users if _scope_of_use(user)[:depth] != here[:depth]), None)
        if index is None:
            return  # only used inside it, and therefore inside the enclosing modules
        path = _path(here[:depth])
        marker(graph, "give_as", [value, f"{path}.{index}" if index else path, here[depth - 1][1]], following)


def _users(value, index=0, depth=4):
    """(node, index) of each use of a value, through the tuples that it is packed into."""
    for use in value.uses():
        yield use.user, index
        if use.user.kind() in _PACKING and depth:
            yield from _users(use.user.output(), use.offset, depth - 1)


def _scope_of_use(node):
    """A block's result belongs to the node that contains the block; the graph's belongs to none."""
    if node.kind() == "prim::Return":
        owner = node.owningBlock().owningNode()
        return scope(owner) if owner is not None else []
    return scope(node)
