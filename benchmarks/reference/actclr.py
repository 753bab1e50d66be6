"""ActCLR's training step (docs/methods.md 1.3, correct cosine; joint stream), step by step."""
import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.reference.mixing import blend, mix, transfer_style
from benchmarks.reference.stgcn import plain_copy, pool


def teacher_topk(key: Tensor, queue: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """1.3 step 5: the queue's most similar entries, near-duplicates of the key put last."""
    similarity = key @ queue
    return torch.where(similarity > .95, torch.full_like(similarity, -1.), similarity).topk(topk, 1)


def queue_loss(query: Tensor, key: Tensor, queue: Tensor, topk: int) -> Tensor:
    """1.3 step 5 for one branch: KL from the teacher's to the student's squared similarities; with its own queue."""
    values, chosen = teacher_topk(key, queue.clone().detach(), topk)
    student = (query @ queue.clone().detach()).square().gather(1, chosen)
    return F.kl_div(F.log_softmax(student / .1, 1), F.softmax(values / .04, 1), reduction='batchmean')


def enqueue(queue: Tensor, pointer: Tensor, keys: Tensor) -> None:
    """1.3 step 9: (D, K) ring of keys."""
    start = int(pointer)
    queue[:, start:start + len(keys)] = keys.t()
    pointer[0] = (start + len(keys)) % queue.shape[1]


class PlainActCLR(nn.Module):
    """Query and key network, queue and loss of ActCLR's second phase (docs/methods.md 1.2, 1.3).

    Args:
        model: The package's ActCLR, whose weights, queue and layout are copied.
        dropout: Dropout of the encoders.
    """

    def __init__(self, model, dropout: float):
        super().__init__()
        self.backbone = plain_copy(model.backbone, dropout)
        self.projector = copy.deepcopy(model.projector.mlp)
        self.key_backbone = copy.deepcopy(self.backbone).requires_grad_(False)
        self.key_projector = copy.deepcopy(self.projector).requires_grad_(False)
        self.register_buffer('queue', model.queue.keys.t().contiguous())
        self.register_buffer('pointer', torch.zeros(1, dtype=torch.long))
        self.momentum, self.topk = model.key_encoder.momentum, min(model.topk, len(model.queue))
        layout = model.layout
        self.parents, self.order, self.parts = layout.parents, layout.order, list(map(list, layout.parts.values()))

    def head(self, projector: nn.Module, features: Tensor, persons: int) -> Tensor:
        return projector(pool(features, persons))

    def forward(self, views: dict[str, Tensor], draws: tuple) -> Tensor:
        """The loss of one step.

        Args:
            views: strong, normal, weak, key: (N, 3, T, V, M).
            draws: Plan of branch 2, shift of its style transfer, plan of branch 3.
        """
        normal, strong, weak, key_view = (views[name] for name in ('normal', 'strong', 'weak', 'key'))
        persons, (plan, lender, plain_plan) = normal.shape[4], draws
        with torch.no_grad():
            self.update_key()
            anchor = self.head(self.key_projector, self.key_backbone(key_view.mean(0, keepdim=True)), persons)
            key = self.semantic_key(key_view, anchor)
            masks = [self.actionlet(self.backbone(view), self.projector, anchor, persons) for view in (normal, weak)]
            adapted = blend(masks[0], normal, strong)
            styled = transfer_style(weak, lender, self.parents, self.order)
            kept = blend(masks[1], styled, mix(styled, plan, self.parts)[0])
            mixed, pasted, replaced = mix(weak, plain_plan, self.parts)
            mixed_key = self.mix_keys(key, masks[1], plain_plan.shift, pasted, replaced)
        loss = sum(queue_loss(F.normalize(self.head(self.projector, self.backbone(view), persons), dim=1), target,
                              self.queue, self.topk)
                   for view, target in ((adapted, key), (kept, key), (mixed, mixed_key)))
        enqueue(self.queue, self.pointer, key)
        return loss

    def update_key(self) -> None:
        """1.3 step 1, parameter by parameter."""
        for query, key in ((self.backbone, self.key_backbone), (self.projector, self.key_projector)):
            for q, k in zip(query.parameters(), key.parameters(), strict=True):
                k.data = k.data * self.momentum + q.data * (1 - self.momentum)

    def actionlet(self, features: Tensor, projector: nn.Module, anchor: Tensor, persons: int) -> Tensor:
        """1.3 step 3: (N * M, 1, T', V), by a backward pass to the feature map."""
        with torch.enable_grad():
            leaf = features.detach().requires_grad_()
            distance = 1 - (F.normalize(self.head(projector, leaf, persons), dim=1) @ F.normalize(anchor, dim=1).t()
                            ).mean()
            gradient, = torch.autograd.grad(distance, leaf)
        weights = gradient.mean((2, 3), keepdim=True)
        cam = (weights * features).mean(1, keepdim=True).relu() / 1e-8
        for part in self.parts:
            cam[..., part] = cam[..., part].mean(3, keepdim=True)
        return cam.clamp(0, 1)

    def semantic_key(self, view: Tensor, anchor: Tensor) -> Tensor:
        """1.3 step 4: half the whole clip, half its actionlet."""
        n, persons = len(view), view.shape[4]
        features = self.key_backbone(view)
        mask = self.actionlet(features, self.key_projector, anchor, persons)
        whole = self.head(self.key_projector, features, persons)
        salient = (features * mask).sum((2, 3)) / (mask.sum((2, 3)) + 1e-5)
        salient = self.key_projector(salient.view(n, persons, -1).mean(1))
        return F.normalize(.5 * whole + .5 * salient, dim=1)

    def mix_keys(self, key: Tensor, mask: Tensor, shift: int, pasted: Tensor, replaced: Tensor) -> Tensor:
        """1.3 step 8: keys mixed by attention mass."""
        partner = torch.arange(len(key)).roll(-shift)
        attention = (mask.view(len(key), -1, *mask.shape[2:]) / .1).exp()
        attention = attention / attention.sum((2, 3), keepdim=True)
        p = (attention[partner] * pasted).sum((2, 3)).mean(1)
        c = (attention * (1 - replaced)).sum((2, 3)).mean(1)
        total = p + c
        return F.normalize((c / total)[:, None] * key + (p / total)[:, None] * key[partner], dim=1)
