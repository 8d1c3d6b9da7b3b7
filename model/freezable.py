"""Training only a model's head."""


class Freezable:
    """A classifier whose encoder can be frozen; `head_name` is the attribute that then is trained alone."""

    head_name, frozen = "head", False

    def freeze_encoder(self):
        """Train the head only: the encoder gets no gradient and stays in eval mode."""
        self.frozen = True
        for name, parameter in self.named_parameters():
            parameter.requires_grad = name.startswith(f"{self.head_name}.")
        return self

    def train(self, mode=True):
        super().train(mode)
        if self.frozen:
            for name, child in self.named_children():
                child.train(mode and name == self.head_name)
        return self
