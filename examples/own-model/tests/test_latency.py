import torch
from detector import Detector


def test_detector_is_fast_enough(latency):
    latency.check(Detector(), torch.empty(1, 3, 320, 320), budget_ms=25)
