"""KNN and linear evaluation as in the released code (docs/methods.md 0.6, 1.5), without shared work."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F


@torch.no_grad()
def knn_votes(bank: Tensor, labels: Tensor, queries: Tensor, k: int, classes: int, temperature: float = .1,
              batch: int = 128) -> Tensor:
    """Weighted votes (N, classes) for one k; each k computes its own product and selection (0.6).

    Args:
        bank, queries: L2-normalised (B, D) and (N, D).
    """
    made, transposed = [], bank.t().contiguous()
    for part in queries.split(batch):
        similarity, near = (part @ transposed).topk(k, dim=1)
        weight = ((similarity - 1) / temperature).exp()
        one_hot = torch.zeros(len(part) * k, classes).scatter(1, labels[near].view(-1, 1), 1.)
        made.append((one_hot.view(len(part), k, classes) * weight.unsqueeze(2)).sum(1))
    return torch.cat(made)


class LinearEvaluation:
    """A linear layer trained with the frozen encoder in the loop: every epoch encodes every clip (1.5).

    Args:
        encode: Clips -> features (N, D), in eval mode.
        weight, bias: Initial values of the layer.
    """

    def __init__(self, encode, weight: Tensor, bias: Tensor, lr: float, steps: tuple[int, ...] = (80,)):
        self.encode, self.layer = encode, nn.Linear(weight.shape[1], len(weight)).to(weight)
        self.layer.load_state_dict(dict(weight=weight, bias=bias))
        self.optimizer = torch.optim.SGD(self.layer.parameters(), lr, .9)
        self.schedule = torch.optim.lr_scheduler.MultiStepLR(self.optimizer, steps, .1)

    def epoch(self, clips: Tensor, labels: Tensor, order: Tensor, batch: int) -> None:
        """One pass over the clips in the given order."""
        for rows in order.split(batch):
            with torch.no_grad():
                features = self.encode(clips[rows])
            loss = F.cross_entropy(self.layer(features), labels[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.schedule.step()
