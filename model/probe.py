"""The linear probe's heads, one for each read-out of the same features."""

from torch import nn


def look(head, features):
    """Logits of a head, a linear map or layers that end in one, and what that linear map sees: (N, D) -> (N, K), (N, D)."""
    *before, last = head if isinstance(head, nn.Sequential) else (head,)
    for layer in before:
        features = layer(features)
    return last(features), features


class Heads(nn.Module):
    """Heads side by side: read-outs {name: (N, D')} -> logits {name: (N, K)}.

    heads: {name: head}; the first, the model's own, is the headline. Each learns as it would alone: nothing is shared, and
    gradients are clipped `apart`.
    """

    def __init__(self, heads):
        super().__init__()
        self.heads = nn.ModuleDict(heads)

    @property
    def apart(self):
        """Modules whose gradients have nothing to do with each other, see util.engine.train_one_epoch."""
        return list(self.heads.values())

    def beside(self):
        """What a checkpoint keeps apart from the model: {name: state dict} of all heads but the model's own."""
        _, *others = self.heads.items()
        return {name: head.state_dict() for name, head in others}

    def forward(self, read_outs):
        return {name: head(read_outs[name]) for name, head in self.heads.items()}

    def look(self, read_outs):
        """As forward, and what the headline's linear map sees, (N, D')."""
        (name, own), *others = self.heads.items()
        logits, seen = look(own, read_outs[name])
        return {name: logits} | {name: head(read_outs[name]) for name, head in others}, seen
