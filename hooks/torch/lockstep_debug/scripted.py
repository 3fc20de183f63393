"""TorchScript: modules that were scripted, traced, or loaded with torch.jit.load.

A script's interpreter calls no Python, but what it computes goes through the dispatcher.
So a copy of the graph is run in the place of the module's own, on the same module
objects, with calls between its nodes that say where it is: operators that do nothing,
and that our dispatch mode (dispatch.py) hands to `mark`. A node knows the modules that
it was inlined from; a value that leaves the nodes of a module is that module's output.
The copy runs without the optimizing executor, which would fuse what is to be seen.
"""
import re
import weakref

import torch

from . import filters, modules
from .passes import Frame, block_index, is_recordable, thread
from .recorder import guard, recorder

NAMESPACE = "lockstep_debug"
_FUSED = "TorchScript: its graph runs node by node while it is recorded, without fusion; capture --compiled runs it as it is"

# One line each, as grouped.py has it for the functions of Python.
_GROUPED = {"matmul", "linear", "softmax", "log_softmax", "layer_norm", "rms_norm", "group_norm", "einsum",
            "scaled_dot_product_attention", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
            "conv_transpose3d", "_convolution"}
_PACKING = {"prim::TupleConstruct", "prim::ListConstruct", "prim::DictConstruct"}
_PARTS = re.compile(r"([^.()]+)\(([^()]*)\)")
_PYTHON_LAYERS = "__torch__.torch.nn.modules."

_library = None


def _define_markers():
    """Conservative about aliases, so that no pass takes them for dead code."""
    global _library
    if _library is None:
        _library = torch.library.Library(NAMESPACE, "DEF")
        for name, parameters in (("scope", "str path"), ("begin", "Tensor[] inputs"), ("end", "Tensor output, str what"),
                                 ("output", "Tensor value, str path, str op")):
            _library.define(f"{name}({parameters}) -> ()", "CONSERVATIVE")
            _library.impl(name, lambda *given: None, "CompositeExplicitAutograd")


# ---------------------------------------------------------------- the marked graph

class _Marking:
    """Puts the markers into an inlined graph."""

    def __init__(self, module, graph):
        self.graph = graph
        self.modules = dict(module.named_modules())
        self.leaves = {}

    def path(self, node):
        """The path of the module that the node is of. Functions count as their module's."""
        parts = [name for name, kind in _PARTS.findall(node.getModuleHierarchy() or "")
                 if name not in ("UNKNOWN_INSTANCE", "SELF")]
        return ".".join(parts)

    def kind(self, path):
        module = self.modules.get(path)
        return "" if module is None else module.original_name if is_script(module) else type(module).__name__

    def is_leaf(self, path):
        """One of torch's own layers: see modules._is_leaf."""
        if path not in self.leaves:
            module = self.modules.get(path) if path else None
            self.leaves[path] = is_script(module) and not list(module.children()) \
                and module._c._type().qualified_name().startswith(_PYTHON_LAYERS)
        return self.leaves[path]

    def constant(self, text, before):
        node = self.graph.create("prim::Constant")
        node.s_("value", text)
        node.output().setType(torch._C.StringType.get())
        node.insertBefore(before)
        return node.output()

    def call(self, name, inputs, following):
        """A marker before a node. Strings become constants."""
        node = self.graph.create(f"{NAMESPACE}::{name}", 0)
        node.insertBefore(following)
        for item in inputs:
            if isinstance(item, list):
                packed = self.graph.create("prim::ListConstruct", item)
                packed.output().setType(torch._C.ListType(torch._C.TensorType.get()))
                packed.insertBefore(node)
                item = packed.output()
            node.addInput(self.constant(item, node) if isinstance(item, str) else item)

    def block(self, block, end):
        """`end`: the node that returns the block's results."""
        here = None
        nodes = list(block.nodes())
        at = 0
        while at < len(nodes):
            node = nodes[at]
            inner = list(node.blocks())
            for each in inner:
                self.block(each, each.returnNode())
            if node.kind().startswith("prim::") and not inner:
                at += 1
                continue
            path = self.path(node)
            if path != here:
                self.call("scope", [path], node)
            here = None if inner else path
            last = at if inner else self.group_end(nodes, at, path)
            following = nodes[last + 1] if last + 1 < len(nodes) else end
            if not inner and (last > at or self.is_leaf(path) or node.kind() in {f"aten::{name}" for name in _GROUPED}):
                self.group(nodes[at:last + 1], path, following)
            for each in nodes[at:last + 1]:
                self.outputs(each, path, following)
            at = last + 1

    def group_end(self, nodes, at, path):
        """The last node of a layer that begins here; or this one, where it is no layer."""
        if not self.is_leaf(path):
            return at
        last = at
        for i in range(at, len(nodes)):
            if list(nodes[i].blocks()) or self.path(nodes[i]) != path:
                break
            if not nodes[i].kind().startswith("prim::"):
                last = i
        return last

    def group(self, nodes, path, following):
        """Recorded as one: what it reads is said before, and its result after."""
        computing = [node for node in nodes if not node.kind().startswith("prim::")]
        first, last = computing[0], computing[-1]
        made = {value.debugName() for node in nodes for value in node.outputs() if not node.kind().startswith("prim::")}
        read = {}
        for node in computing:
            for value in node.inputs():
                if _is_tensor(value) and value.debugName() not in made:
                    source = value.node()
                    if source.kind() == "prim::Param" or source.isBefore(first):
                        read[value.debugName()] = value
        results = [value for value in last.outputs() if _is_tensor(value)]
        if not results:
            return
        what = "" if self.is_leaf(path) else last.kind().rpartition("::")[2]
        self.call("end", [results[0], what], following)
        self.call("begin", [list(read.values())], first)

    def outputs(self, node, path, following):
        """Markers after a node for the modules whose output it makes, the innermost first."""
        for value in node.outputs():
            uses = _uses(value) if _is_tensor(value) else []
            parts = path.split(".") if path else []
            while parts:
                whole = ".".join(parts)
                outside = [index for user, index in uses if not self.within(user, whole)]
                if outside:
                    name = whole if not outside[0] else f"{whole}.{outside[0]}"
                    self.call("output", [value, name, self.kind(whole)], following)
                parts.pop()

    def within(self, node, path):
        """A block's result is of the node that has the block."""
        if node.kind() == "prim::Return":
            owner = node.owningBlock().owningNode()
            if owner is None:
                return False
            node = owner
        own = self.path(node)
        return own == path or own.startswith(path + ".")


def _is_tensor(value):
    return value.type().kind() == "TensorType"


def _uses(value, index=0, depth=4):
    """(node, index) of what uses a value, through the tuples that it is packed into."""
    for use in value.uses():
        if use.user.kind().startswith(f"{NAMESPACE}::"):
            continue
        yield use.user, index
        if use.user.kind() in _PACKING and depth:
            yield from _uses(use.user.output(), use.offset, depth - 1)


class _Script:
    """A module's forward, as a function that says where it is."""

    def __init__(self, module):
        _define_markers()
        method = module._c._get_method("forward")
        graph = method.inlined_graph.copy()
        torch._C._jit_pass_erase_shape_information(graph)
        if graph.findNode("prim::fork"):
            recorder.note("TorchScript: what runs in parallel (torch.jit.fork) is not recorded")
        _Marking(module, graph).block(graph, graph.return_node())
        graph.lint()
        self.parameters = method.schema.arguments[1:]
        self.function = torch._C._create_function_from_graph("forward", graph)

    def arguments(self, args, kwargs):
        """All of them in order; None where they don't fit, so that torch says it."""
        if len(args) > len(self.parameters) or set(kwargs) - {p.name for p in self.parameters[len(args):]}:
            return None
        given = list(args)
        for parameter in self.parameters[len(args):]:
            if parameter.name not in kwargs and not parameter.has_default_value():
                return None
            given.append(kwargs.get(parameter.name, parameter.default_value))
        return given


_scripts = weakref.WeakKeyDictionary()


def _script_of(module):
    if module not in _scripts:
        _scripts[module] = None    # once, even if it fails
        _scripts[module] = _Script(module)
    return _scripts[module]


def has_hooks(module):
    return any(getattr(module, name, None) for name in (
        "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"))


def is_script(module):
    return isinstance(module, torch.jit.ScriptModule)


@guard
def _prepare(module, args, kwargs):
    script = _script_of(module)
    given = script.arguments(args, kwargs) if script is not None and not has_hooks(module) else None
    if given is not None:
        _say_what_is_off(module)
        return script, given


def call(run, module, *args, **kwargs):
    """The module's forward under observation."""
    prepared = _prepare(module, args, kwargs)
    if prepared is None:
        return modules.original_call(module, *args, **kwargs)
    script, given = prepared
    state = (len(run.frames), thread.hidden, run.script)
    run.script = _Progress(run.frame)
    try:
        with torch.jit.optimized_execution(False):
            return script.function(module._c, *given)
    finally:
        del run.frames[state[0]:]
        thread.hidden, run.script = state[1:]


def _say_what_is_off(module):
    first = next(module.parameters(), None)
    fuses = torch._C._jit_can_fuse_on_gpu() if first is not None and first.is_cuda else torch._C._jit_can_fuse_on_cpu()
    if fuses and torch._C._jit_texpr_fuser_enabled():
        recorder.note(_FUSED, compiled="eager")


# ---------------------------------------------------------------- while it runs

class _Progress:
    """Where a script is: the frame of its root, how many frames lie beneath, and what
    the group of nodes that runs now was computed from."""

    def __init__(self, root):
        self.root = root
        self.sources = None


@guard
def mark(run, name, args):
    """A marker was reached."""
    progress = run.script
    if progress is None:
        return
    root = progress.root
    if name == "scope":
        depth = run.frames.index(root) + 1
        del run.frames[depth:]
        if args[0]:
            path = f"{root.path}.{args[0]}" if root.path else args[0]
            run.frames.append(Frame(root.module, path, block_index(path)))
    elif name == "begin":
        progress.sources = run.ids(args[0])
        thread.hidden += 1
    elif name == "end" and progress.sources is not None:
        thread.hidden -= 1
        if args[1] and is_recordable(args[0]) and run.known(args[0]) is None:
            run.record(args[1], args[1], args[0], progress.sources)
            progress.sources = None
    elif name == "output" and not thread.hidden:
        path = f"{root.path}.{args[1]}" if root.path else args[1]
        if is_recordable(args[0]):
            outer = modules.is_outer(path)
            run.name_result(path, args[2], args[0], filters.MODULE, sources=progress.sources or (), outer=outer)
        progress.sources = None
