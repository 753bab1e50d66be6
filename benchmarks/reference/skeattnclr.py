"""SkeAttnCLR's training step (docs/methods.md 2.2, 2.3)."""
import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.reference.actclr import enqueue
from benchmarks.reference.stgcn import plain_copy, pool


class PlainAttention(nn.Module):
    """LayerNorm, eight heads, output projection, sigmoid(2 x): (B, tokens, D) -> mask (docs/methods.md 2.2)."""

    def __init__(self, attention):
        super().__init__()
        self.norm, self.qkv, self.out = (copy.deepcopy(getattr(attention, name)) for name in ('norm', 'qkv', 'out'))
        self.heads, self.sharpness = attention.heads, attention.sharpness

    def forward(self, tokens: Tensor) -> Tensor:
        b, n, d = tokens.shape
        q, k, v = self.qkv(self.norm(tokens)).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) * (d // self.heads) ** -.5).softmax(3)
        return torch.sigmoid(self.sharpness * self.out((weights @ v).transpose(1, 2).reshape(b, n, d)))


class PlainSkeAttnCLR(nn.Module):
    """Query and key network, mask, predictors, queue and loss (docs/methods.md 2.2, 2.3).

    Args:
        model: The package's SkeAttnCLR, whose weights and queue are copied.
        dropout: Dropout of the encoders.
    """

    def __init__(self, model, dropout: float):
        super().__init__()
        self.backbone, self.projector = plain_copy(model.backbone, dropout), copy.deepcopy(model.projector.mlp)
        self.key_backbone = copy.deepcopy(self.backbone).requires_grad_(False)
        self.key_projector = copy.deepcopy(self.projector).requires_grad_(False)
        self.attention = PlainAttention(model.attention)
        self.predictors = nn.ModuleDict({name: copy.deepcopy(head.mlp) for name, head in model.predictors.items()})
        # Three queues are kept, but only one is read (docs/methods.md 2.2).
        self.queues = nn.ParameterList(nn.Parameter(model.queue.keys.t().contiguous(), requires_grad=False)
                                       for _ in range(3))
        self.register_buffer('pointers', torch.zeros(3, 1, dtype=torch.long))
        self.temperature, self.weight, self.momentum = model.temperature, model.local_weight, model.key_encoder.momentum

    def split(self, features: Tensor, mask: Tensor, persons: int) -> tuple[Tensor, Tensor]:
        """Pooled salient and non-salient features: map times mask, map times 1 - mask (docs/methods.md 2.2)."""
        return pool(features * mask, persons), pool(features * (1 - mask), persons)

    def info_nce(self, query: Tensor, key: Tensor, queue: Tensor, extra: Tensor | None = None) -> Tensor:
        """One positive, the queue and optionally one more negative per sample (docs/methods.md 2.3 step 4)."""
        logits = [torch.einsum('nd,nd->n', query, key)[:, None], query @ queue.clone().detach()]
        if extra is not None:
            logits.append(torch.einsum('nd,nd->n', query, extra.detach())[:, None])
        logits = torch.cat(logits, 1) / self.temperature
        return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))

    def forward(self, views: dict[str, Tensor]) -> Tensor:
        """The loss of one step on the views query, key and mixed: (N, 3, T, V, M)."""
        persons = views['query'].shape[4]
        with torch.no_grad():
            self.update_key()
        whole = F.normalize(self.predictors['whole'](self.projector(pool(self.backbone(views['query']), persons))),
                            dim=1)
        features = self.backbone(views['mixed'])
        b, d, t, v = features.shape
        mask = self.attention(features.view(b, d, t * v).transpose(1, 2)).transpose(1, 2).reshape(b, d, t, v)
        salient, rest = (F.normalize(self.predictors[name](self.projector(half)), dim=1) for name, half in
                         zip(('salient', 'rest'), self.split(features, mask, persons), strict=True))
        with torch.no_grad():
            features = self.key_backbone(views['key'])
            keys = [F.normalize(self.key_projector(pooled), dim=1) for pooled in
                    (pool(features, persons), *self.split(features, mask, persons))]
        queue = self.queues[0]
        loss = (self.info_nce(whole, keys[0], queue)
                + self.weight * self.info_nce(salient, keys[1], queue, rest)
                + (1 - self.weight) * self.info_nce(rest, keys[2], queue, salient))
        with torch.no_grad():
            for queue, pointer, key in zip(self.queues, self.pointers, keys, strict=True):
                enqueue(queue, pointer, key)
        return loss

    def update_key(self) -> None:
        """The whole state is averaged, including BN statistics; docs/methods.md 2.2, but before the step."""
        for query, key in ((self.backbone, self.key_backbone), (self.projector, self.key_projector)):
            theirs = key.state_dict()
            for name, value in query.state_dict().items():
                if value.is_floating_point():
                    theirs[name].copy_(theirs[name] * self.momentum + value * (1 - self.momentum))
                else:
                    theirs[name].copy_(value)
