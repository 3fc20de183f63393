"""Imported by Python at start-up when `lockstep capture` put this folder on the path.

It waits for the program to import torch, reports at the end what the program had
imported, and runs the sitecustomize that this file hides, if there is one. Without
LOCKSTEP_CHANNEL, only the last of these happens.
"""
import os
import sys

# Frameworks whose computations are not recorded, so that `capture` can name the one
# that it found instead of torch.
_OTHERS = ("onnxruntime", "jax", "mlx", "tensorflow", "openvino", "tinygrad", "paddle", "mxnet",
           "tflite_runtime", "ai_edge_litert", "executorch", "ctranslate2", "tensorrt")
_facts = set()


def _watch_imports():
    """Runs a function of this file right after Python has executed certain modules.

    It replaces the function through which every import asks the finders, rather than
    adding a finder: finders are also asked when no import follows
    (importlib.util.find_spec), programs put their own before ours, and some clear the
    list. Torch itself imports the watched modules, so it does not matter how torch was
    found, or by which loader.
    """
    from importlib import _bootstrap

    watched = {"torch.nn.modules.module": _observe_calls, "torch._dynamo": _observe_compiler,
               "safetensors": _observe_safetensors, "torch.serialization": _observe_loading,
               "torch.export.pt2_archive._package": _observe_packages}
    find = _bootstrap._find_spec

    def _find_spec(name, path, target=None):
        spec = find(name, path, target)
        if name in watched and spec is not None:
            _after_execution(spec, watched[name])
        return spec

    _bootstrap._find_spec = _find_spec


def _after_execution(spec, then):
    """The loader keeps its class, because inspect and pickle look at it: only this
    instance's exec_module is replaced, for one call. A loader may serve several modules."""
    loader = spec.loader
    run = getattr(loader, "exec_module", None)
    if run is None or isinstance(loader, type):
        return

    def exec_module(module):
        ours = module.__name__ == spec.name
        if ours and vars(loader).get("exec_module") is exec_module:
            del loader.exec_module
        run(module)
        if ours:
            then(module)

    try:
        loader.exec_module = exec_module
    except Exception as error:
        _trouble(error)


def _observe_calls(module):
    """The rest of the hook needs all of torch, which is available once a module is called."""
    kind = module.Module
    original = kind.__call__
    call = None

    def __call__(self, /, *args, **kwargs):
        nonlocal call
        if call is None:
            call = _install() or original
            if kind.__call__ is __call__:  # otherwise the program has wrapped it, and calls ours
                kind.__call__ = call
        return call(self, *args, **kwargs)

    kind.__call__ = __call__
    module._called_by_lockstep = original


def _install():
    try:
        from lockstep_debug import install

        return install.install()
    except Exception as error:
        _trouble(error)  # the observed program continues unobserved


def _observe_compiler(module):
    try:
        from lockstep_debug import compiled

        compiled.observe_compiler()
    except Exception as error:
        _trouble(error)


def _observe_packages(module):
    try:
        from lockstep_debug import compiled

        compiled.observe_packages(module)
    except Exception as error:
        _trouble(error)


def _observe_safetensors(module):
    try:
        from lockstep_debug import model_files

        model_files.observe_safetensors(module)
    except Exception as error:
        _trouble(error)


def _observe_loading(module):
    try:
        from lockstep_debug import model_files

        model_files.observe_torch(module)
    except Exception as error:
        _trouble(error)


def _trouble(error):
    _facts.add(f"trouble={type(error).__name__}: {str(error)[:150]}")


def _tell_end():
    """What the recorder needs in order to say why nothing was recorded."""
    recorder = getattr(sys.modules.get("lockstep_debug.recorder"), "recorder", None)
    _tell({"ended", *_facts, *(recorder.facts if recorder is not None else ()),
           *(["torch"] if "torch" in sys.modules else ()),
           *(f"framework={name}" for name in _OTHERS if name in sys.modules)})


def _tell(facts):
    """Sends facts to the recorder (src/launch/facts.h) without ever waiting."""
    try:
        from _socket import AF_UNIX, SOCK_DGRAM, socket

        to = b"\0" + os.environ["LOCKSTEP_CHANNEL"][1:].encode() + b"-facts"
        link = socket(AF_UNIX, SOCK_DGRAM)
        try:
            link.setblocking(False)
            for fact in sorted(facts):
                link.sendto(fact.encode("utf-8", "replace"), to)
        finally:
            link.close()
    except Exception:
        pass


def _chain():
    """Runs the next sitecustomize on the path, as if this one were not there."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.dirname(os.path.abspath(__file__))
    others = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


if os.environ.get("LOCKSTEP_CHANNEL"):
    try:
        import atexit

        _watch_imports()
        atexit.register(_tell_end)
        _tell({"hook"})
    except Exception as failure:
        _trouble(failure)
_chain()
