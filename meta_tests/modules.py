"""A module that calls a function with itself and its inputs."""

from torch import nn


def module(forward, **parts):
    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

        def forward(self, *args, **kwargs):
            return forward(self, *args, **kwargs)

    return Module()
