"""Imported by Python at start-up when `lockstep capture` put this folder on the path.

It does two things: it waits for the program to import torch, and it runs the
sitecustomize that this file hides, if there is one. Without LOCKSTEP_CHANNEL, or in
a program that never imports torch, nothing else happens.
"""
import os
import sys


def _watch_torch():
    """Installs the hook as soon as torch has been imported by the program itself."""

    class Watch:
        def find_spec(self, name, path=None, target=None):
            if name != "torch":
                return None
            sys.meta_path.remove(self)
            spec = None
            for finder in list(sys.meta_path):
                find = getattr(finder, "find_spec", None)
                spec = find(name, path, target) if find else None
                if spec is not None:
                    break
            run = getattr(getattr(spec, "loader", None), "exec_module", None)
            if run is None:
                return spec

            # The loader keeps its class (inspect and pickle look at it): only this
            # instance's exec_module is replaced, for one call.
            def exec_module(module):
                del spec.loader.exec_module
                run(module)
                _install()

            try:
                spec.loader.exec_module = exec_module
            except Exception:
                pass
            return spec

    sys.meta_path.insert(0, Watch())


def _install():
    try:
        from lockstep import install

        install.install()
    except Exception:
        pass  # the observed program goes on, unobserved


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
    _watch_torch()
_chain()
