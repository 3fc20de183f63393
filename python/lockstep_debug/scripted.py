"""TorchScript: modules that were scripted, traced, or loaded with torch.jit.load.

A script's interpreter calls no Python, but its operations go through the dispatcher. So a
copy of the module's graph runs in place of the original, on the same objects. In the copy,
every call of a submodule is replaced with that submodule's graph, and there are markers
between the nodes: operators that do nothing, which our dispatch mode (dispatch.py) passes
to `mark`. They say which module begins or ends, and what it returns. The copy runs without
the optimizing executor, which would fuse the operations that are to be seen.
"""
import threading
import weakref

import torch

from . import attention, filters, frozen
from .module_facts import class_name, is_leaf, is_outer, is_script, original_call
from .passes import Frame, block_index, is_recordable, thread
from .recorder import guard, recorder

NAMESPACE = "lockstep_debug"
_FUSED = "TorchScript: its graph runs node by node while it is recorded, without fusion; capture --compiled runs it unchanged"

# One line each, as for Python functions in grouped.py.
_GROUPED = {f"aten::{name}" for name in (
    "matmul", "linear", "softmax", "log_softmax", "layer_norm", "rms_norm", "group_norm", "einsum", "conv1d", "conv2d",
    "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "_convolution")}
_ATTENTION = "aten::scaled_dot_product_attention"
_MARKERS = {
    "enter": "str path", "enter_layer": "Tensor[] inputs, str path", "leave": "", "give": "Tensor? value, str suffix", "give_list": "Tensor[] values, str suffix",
    "give_as": "Tensor value, str path, str kind",
    "begin": "Tensor[] inputs", "end": "Tensor output, str op",
    "attend": "Tensor q, Tensor k, Tensor v, Tensor? mask, float dropout, bool causal, float? scale, bool gqa",
    "attended": "Tensor output",
}

_library = None


def _define_markers():
    """Conservative about aliases, so that no optimization pass removes them as dead code."""
    global _library
    if _library is None:
        _library = torch.library.Library(NAMESPACE, "DEF")
        for name, parameters in _MARKERS.items():
            _library.define(f"{name}({parameters}) -> ()", "CONSERVATIVE")
            _library.impl(name, lambda *given: None, "CompositeExplicitAutograd")


# ---------------------------------------------------------------- the marked graph

def _marker(graph, name, inputs, following):
    """A marker before a node. Strings become constants, lists are packed."""
    node = graph.create(f"{NAMESPACE}::{name}", 0)
    node.insertBefore(following)
    for item in inputs:
        if isinstance(item, str):
            made = graph.create("prim::Constant")
            made.s_("value", item)
            made.output().setType(torch._C.StringType.get())
        elif isinstance(item, list):
            made = graph.create("prim::ListConstruct", item)
            made.output().setType(torch._C.ListType(torch._C.TensorType.get()))
        else:
            node.addInput(item)
            continue
        made.insertBefore(node)
        node.addInput(made.output())


def _is_tensor(kind):
    return kind.kind() == "TensorType"


def _tensors(values):
    """The tensors among values, and in the tuples and lists that were made from them."""
    found = []
    for value in values:
        if _is_tensor(value.type()):
            found.append(value)
        elif value.node().kind() in ("prim::TupleConstruct", "prim::ListConstruct"):
            found += _tensors(list(value.node().inputs()))
    return found


def _mark_result(graph, value, suffix, following):
    """Markers for the tensors that a module returns, through tuples and lists."""
    kind = value.type()
    if _is_tensor(kind) or (kind.kind() == "OptionalType" and _is_tensor(kind.getElementType())):
        _marker(graph, "give", [value, suffix], following)
    elif kind.kind() == "ListType" and _is_tensor(kind.getElementType()):
        _marker(graph, "give_list", [value, suffix], following)
    elif kind.kind() == "TupleType":
        parts = kind.elements()
        unpack = graph.create("prim::TupleUnpack", [value], len(parts))
        unpack.insertBefore(following)
        for index, (part, element) in enumerate(zip(list(unpack.outputs()), parts)):
            part.setType(element)
            _mark_result(graph, part, f"{suffix}.{index}" if suffix else str(index), following)


class _Expansion:
    """The graph of a module's method, with the graphs of the modules that it calls."""

    def __init__(self, root):
        self.modules = dict(root.named_modules())

    def graph(self, own, method):
        """`own`: the path of the module to which the method belongs."""
        graph = self.modules[own]._c._get_method(method).graph.copy()
        torch._C._jit_pass_erase_shape_information(graph)
        self.block(graph, graph, graph.return_node(), next(iter(graph.inputs())).debugName(), own)
        return graph

    def block(self, graph, block, end, self_name, own):
        """`end`: the node that returns the block's results."""
        nodes = list(block.nodes())
        for node, following in zip(nodes, nodes[1:] + [end]):
            for inner in node.blocks():
                self.block(graph, inner, inner.returnNode(), self_name, own)
            if node.kind() == "prim::CallMethod":
                called = self.path(next(iter(node.inputs())), self_name, own)
                if called in self.modules and is_script(self.modules[called]):
                    self.call(graph, node, following, called)

    def path(self, value, self_name, own):
        """The path of the module that a value is; None when that isn't known before it runs."""
        if value.debugName() == self_name:
            return own
        node = value.node()
        if node.kind() != "prim::GetAttr":
            return None
        outer = self.path(next(iter(node.inputs())), self_name, own)
        return None if outer is None else f"{outer}.{node.s('name')}" if outer else node.s("name")

    def call(self, graph, node, following, called):
        """A method other than forward counts as part of its caller, as it does in Python."""
        inputs, method = list(node.inputs()), node.s("name")
        if method != "forward":
            self.replace(graph, node, self.graph(called, method), inputs)
        elif is_leaf(self.modules[called]):
            given = _tensors(inputs[1:])
            _marker(graph, "enter_layer", [given, called], node)
            _mark_result(graph, node.output(), "", following)
            _marker(graph, "leave", [], following)
        else:
            _marker(graph, "enter", [called], node)
            result = self.replace(graph, node, self.graph(called, method), inputs)
            _mark_result(graph, result, "", following)
            _marker(graph, "leave", [], following)

    def replace(self, graph, node, body, inputs):
        with graph.insert_point_guard(node):
            result, = graph.insertGraph(body, inputs)
        node.output().replaceAllUsesWith(result)
        node.destroy()
        return result


def _mark_functions(graph, block, end):
    """Markers around the nodes that are recorded as one operation each."""
    nodes = list(block.nodes())
    for node, following in zip(nodes, nodes[1:] + [end]):
        for inner in node.blocks():
            _mark_functions(graph, inner, inner.returnNode())
        inputs = list(node.inputs())
        if node.kind() == _ATTENTION and len(inputs) == 8:
            _marker(graph, "attend", inputs, node)
            _marker(graph, "attended", [node.output()], following)
        elif node.kind() in _GROUPED or node.kind() == _ATTENTION:
            _marker(graph, "begin", [_tensors(inputs)], node)
            _marker(graph, "end", [node.output(), node.kind().rpartition("::")[2]], following)


class _Script:
    """A module's forward, as a function that marks its position."""

    def __init__(self, module):
        _define_markers()
        graph = _Expansion(module).graph("", "forward")
        torch._C._jit_pass_inline(graph)
        if next(module.children(), None) is None:
            frozen.mark(graph, _marker, _is_tensor)
        _mark_functions(graph, graph, graph.return_node())
        if graph.findNode("prim::fork"):
            recorder.note("TorchScript: what runs in parallel (torch.jit.fork) is not recorded")
        graph.lint()
        self.parameters = module._c._get_method("forward").schema.arguments[1:]
        self.function = torch._C._create_function_from_graph("forward", graph)

    def arguments(self, args, kwargs):
        """All arguments in order; None if they don't fit, so that torch reports it."""
        if len(args) > len(self.parameters) or set(kwargs) - {p.name for p in self.parameters[len(args):]}:
            return None
        given = list(args)
        for parameter in self.parameters[len(args):]:
            if parameter.name not in kwargs and not parameter.has_default_value():
                return None
            given.append(kwargs.get(parameter.name, parameter.default_value))
        return given


_scripts = weakref.WeakKeyDictionary()
_making = threading.Lock()


def after_fork():
    """A thread of the parent's may have held the lock."""
    global _making
    _making = threading.Lock()


def _script_of(module):
    """The module's marked graph, made by the first thread that asks for it while the others
    wait; None if making it has failed before."""
    with _making:
        if module not in _scripts:
            try:
                _scripts[module] = _Script(module)
            except BaseException:
                _scripts[module] = None
                raise
        return _scripts[module]


def has_hooks(module):
    return any(getattr(module, name, None) for name in (
        "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"))


@guard
def _prepare(module, args, kwargs):
    script = _script_of(module)
    given = script.arguments(args, kwargs) if script is not None and not has_hooks(module) else None
    if given is not None:
        _say_what_is_off(module)
        return script, given


def call(run, module, *args, **kwargs):
    """Runs the module's forward under observation."""
    prepared = _prepare(module, args, kwargs)
    if prepared is None:
        return original_call(module, *args, **kwargs)
    script, given = prepared
    before = len(run.frames), thread.hidden, run.script
    run.script = _Progress(run.frame, dict(module.named_modules()))
    try:
        with _unoptimized:
            return script.function(module._c, *given)
    finally:
        del run.frames[before[0]:]
        thread.hidden, run.script = before[1:]


class _Unoptimized:
    """torch.jit.optimized_execution(False) for overlapping threads, because its setting is
    process-wide."""

    def __init__(self):
        self.depth = 0
        self.before = True

    def __enter__(self):
        with recorder.lock:
            if self.depth == 0:
                self.before = torch._C._get_graph_executor_optimize()
                torch._C._set_graph_executor_optimize(False)
            self.depth += 1

    def __exit__(self, *exception):
        with recorder.lock:
            self.depth -= 1
            if self.depth == 0:
                torch._C._set_graph_executor_optimize(self.before)


_unoptimized = _Unoptimized()


def _say_what_is_off(module):
    first = next(module.parameters(), None)
    fuses = torch._C._jit_can_fuse_on_gpu() if first is not None and first.is_cuda else torch._C._jit_can_fuse_on_cpu()
    if fuses and torch._C._jit_texpr_fuser_enabled():
        recorder.note(_FUSED, compiled="eager")


# ---------------------------------------------------------------- while it runs

class _Progress:
    """The position in a running script. `sources`: what each layer or function that is running,
    innermost last, is computed from; None for a module that is entered."""

    def __init__(self, root, parts):
        self.root = root
        self.parts = parts
        self.sources = []
        self.attention = None


@guard
def mark(run, name, args):
    """Called when a marker is reached."""
    _HANDLERS[name](run, run.script, *args)


def _enter(run, progress, path):
    whole = f"{progress.root.path}.{path}" if progress.root.path else path
    run.frames.append(Frame(progress.parts.get(path, progress.root.module), whole, block_index(whole)))
    progress.sources.append(None)


def _enter_layer(run, progress, inputs, path):
    module = progress.parts[path]
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    sources = run.ids([*inputs, *own])
    _enter(run, progress, path)
    progress.sources[-1] = sources
    thread.hidden += 1


def _leave(run, progress):
    run.frames.pop()
    thread.hidden -= progress.sources.pop() is not None


def _give(run, progress, value, suffix):
    if value is None or not is_recordable(value):
        return
    path = run.frame.path
    name = f"{path}.{suffix}" if suffix not in ("", "0") else path
    run.name_result(name, class_name(run.frame.module), value, filters.MODULE,
                    sources=progress.sources[-1] or (), outer=is_outer(path))


def _give_list(run, progress, values, suffix):
    for index, value in enumerate(values):
        _give(run, progress, value, f"{suffix}.{index}" if suffix else str(index))


def _give_as(run, progress, value, path, kind):
    if is_recordable(value):
        whole = f"{progress.root.path}.{path}" if progress.root.path else path
        run.name_result(whole, kind, value, filters.MODULE, outer=is_outer(whole))


def _begin(run, progress, inputs):
    progress.sources.append(None if thread.hidden else run.ids(inputs))
    thread.hidden += 1


def _end(run, progress, output, op):
    thread.hidden -= 1
    sources = progress.sources.pop()
    if sources is not None and is_recordable(output) and run.known(output) is None:
        run.record(op, op, output, sources)


def _attend(run, progress, *args):
    progress.attention = None if thread.hidden else \
        attention.before(run, args[:6], {"scale": args[6], "enable_gqa": args[7]})
    thread.hidden += 1


def _attended(run, progress, output):
    thread.hidden -= 1
    if progress.attention is not None:
        attention.after(run, progress.attention, output)


_HANDLERS = {"enter": _enter, "enter_layer": _enter_layer, "leave": _leave, "give": _give, "give_list": _give_list, "give_as": _give_as,
             "begin": _begin, "end": _end, "attend": _attend, "attended": _attended}
