"""What is known of a module before it computes anything."""
import functools

import torch

# Torch's own, even if sitecustomize has already replaced it.
original_call = getattr(torch.nn.modules.module, "_called_by_lockstep", torch.nn.Module.__call__)


def is_script(module):
    return isinstance(module, torch.jit.ScriptModule)


def class_name(module):
    """For a script, the name of the class that it was made from."""
    return module.original_name if isinstance(module, torch.jit.ScriptModule) else type(module).__name__


def is_leaf(module):
    """One of torch's own layers, recorded as one operation."""
    if is_script(module):  # freezing removes children, and `training`
        return module._c.hasattr("training") and module._c._type().qualified_name().startswith("__torch__.torch.nn.modules.") \
            and next(module.children(), None) is None
    return type(module).__module__.startswith("torch.nn.") and not module._modules


def is_elsewhere(module):
    """Whether its weights are fetched only while it computes, so that they are not known before: accelerate's offloading."""
    return any(tensor is not None and tensor.is_meta for tensor in module._parameters.values())


@functools.lru_cache(4096)
def is_outer(path):
    """Whether it is the root, one of its children, or a numbered block."""
    parts = path.split(".")
    numbered = [i for i, part in enumerate(parts) if part.isdecimal()]
    return len(parts) == 1 or numbered[:1] == [len(parts) - 1]
