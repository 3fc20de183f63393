"""torchvision has to be there before transformers is imported, which decides then which image processors it has."""
import vision_site  # noqa: F401
