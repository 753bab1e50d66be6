"""Tell whether torch.export is tracing, which cannot follow branches that depend on values."""
import torch


def exporting() -> bool:
    """Return whether a model is being traced by ``torch.export``, and not for ``torch.compile``."""
    known = getattr(torch.compiler, 'is_exporting', None)  # since PyTorch 2.7
    return known() if known else torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()
