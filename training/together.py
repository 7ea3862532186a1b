"""Workers that learn one network together; where there is only one, nothing happens here."""

import torch
from torch import distributed, nn


def several() -> bool:
    started = distributed.is_available() and distributed.is_initialized()
    return started and distributed.get_world_size() > 1


def begin(network: nn.Module) -> None:
    """All go on from what the first has."""
    if several():
        for tensor in network.state_dict().values():
            distributed.broadcast(tensor, 0)


def average(network: nn.Module) -> None:
    """Each worker's gradients become the mean of all workers'."""
    if not several():
        return
    slopes = [weight.grad for weight in network.parameters() if weight.grad is not None]
    flat = torch.cat([slope.flatten() for slope in slopes])
    distributed.all_reduce(flat)
    mean = flat / distributed.get_world_size()
    parts = torch.split(mean, [slope.numel() for slope in slopes])
    for slope, part in zip(slopes, parts, strict=True):
        slope.copy_(part.view_as(slope))


def agreed(value: float, device: torch.device) -> float:
    """What the first worker says: they must stop and report at the same step."""
    if not several():
        return value
    told = torch.tensor([value], dtype=torch.float64, device=device)
    distributed.broadcast(told, 0)
    return float(told)
