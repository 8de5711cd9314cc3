"""The plain PyTorch scripts that the lab is measured against: what a course would hand out.

A Dataset that opens each picture when it is asked for, torchvision's per-image transforms, a
DataLoader, fp32, contiguous tensors, the whole network at every step. Nothing here is made slow on
purpose, and nothing is tuned, but for `TunedRun`: the same script by somebody who knows PyTorch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

IMAGENET = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class ArrayDataset(Dataset[Any]):
    """Pictures held in memory, such as the rows of Kaggle's CSV, as every script does."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: Callable[..., Any]):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = Image.fromarray(self.images[index], mode=None)
        return self.transform(image), int(self.labels[index])


class PhotoDataset(Dataset[Any]):
    """JPEG files, decoded at every visit."""

    def __init__(self, files: Sequence[Path], labels: Sequence[int], size: int = 224):
        self.files, self.labels = list(files), list(labels)
        self.transform = transforms.Compose(
            [transforms.Resize((size, size)), transforms.ToTensor(), IMAGENET]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.files[index]) as image:
            return self.transform(image.convert("RGB")), self.labels[index]


SIGN_TRANSFORM = transforms.ToTensor()
SIGN_AUGMENTED = transforms.Compose(
    [
        transforms.RandomAffine(degrees=10, translate=(0.1, 0.1), scale=(0.9, 1.1)),
        transforms.ToTensor(),
    ]
)


def sign_cnn() -> nn.Module:
    """Document 001's network: three blocks of 32, 64, 32 filters and two dense layers."""
    layers: list[nn.Module] = []
    channels = 1
    for filters in (32, 64, 32):
        layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = filters
    layers += [nn.Flatten(), nn.Linear(288, 512), nn.ReLU(), nn.Dropout(0.3), nn.Linear(512, 24)]
    return nn.Sequential(*layers)


def deep_mlp(pixels: int = 784, classes: int = 24) -> nn.Module:
    """Ten layers with sigmoid, 50 units each."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = pixels
    for _ in range(9):
        layers += [nn.Linear(width, 50), nn.Sigmoid()]
        width = 50
    return nn.Sequential(*layers, nn.Linear(width, classes))


def resnet18() -> nn.Module:
    return torchvision.models.resnet18(num_classes=2)


def mobilenet_head() -> nn.Module:
    """MobileNetV2 with its ImageNet backbone (a file below TORCH_HOME) frozen, and a new head."""
    weights = Path(os.environ["TORCH_HOME"]) / "hub/checkpoints/mobilenet_v2-b0353104.pth"
    net = torchvision.models.mobilenet_v2()
    net.load_state_dict(torch.load(weights, weights_only=True))
    for parameter in net.parameters():
        parameter.requires_grad = False
    net.classifier[1] = nn.Linear(net.last_channel, 2)
    return net


def mobilenet_last_stage() -> nn.Module:
    """As `mobilenet_head`, with the last convolution of the backbone trained as well."""
    net = mobilenet_head()
    for parameter in net.features[-1].parameters():  # type: ignore[index,union-attr]
        parameter.requires_grad = True
    return net


class PlainRun:
    """The plain script's loop, an epoch at a call."""

    def __init__(
        self,
        network: nn.Module,
        train: Dataset[Any],
        val: Dataset[Any],
        *,
        batch_size: int,
        frozen_backbone: bool = False,
    ) -> None:
        self.network = network
        self.frozen_backbone = frozen_backbone
        self.train = DataLoader(train, batch_size=batch_size, shuffle=True)
        self.val = DataLoader(val, batch_size=batch_size)
        trained = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=1e-3)

    def epoch(self) -> float:
        """Train and validate once; returns the validation accuracy."""
        self.network.train()
        if self.frozen_backbone:
            self.network.features.eval()  # type: ignore[union-attr,operator]
        for images, labels in self.train:
            loss = F.cross_entropy(self.network(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return self.evaluate()

    def evaluate(self) -> float:
        """The validation accuracy."""
        self.network.eval()
        right = 0
        with torch.no_grad():
            for images, labels in self.val:
                right += int((self.network(images).argmax(1) == labels).sum())
        return right / len(self.val.dataset)  # type: ignore[arg-type]


class TunedRun(PlainRun):
    """The plain script in which all pictures are one tensor, made once, and lie channels last."""

    def __init__(
        self, network: nn.Module, train: Dataset[Any], val: Dataset[Any], **how: Any
    ) -> None:
        super().__init__(network.to(memory_format=torch.channels_last), train, val, **how)
        self.tensors = [_as_tensors(loader) for loader in (self.train, self.val)]
        self.batch_size = how["batch_size"]

    def epoch(self) -> float:
        self.network.train()
        if self.frozen_backbone:
            self.network.features.eval()  # type: ignore[union-attr,operator]
        images, labels = self.tensors[0]
        for rows in torch.randperm(len(labels)).split(self.batch_size):
            loss = F.cross_entropy(self.network(images[rows]), labels[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return self.evaluate()

    def evaluate(self) -> float:
        self.network.eval()
        images, labels = self.tensors[1]
        right = 0
        with torch.inference_mode():
            for rows in torch.arange(len(labels)).split(self.batch_size):
                right += int((self.network(images[rows]).argmax(1) == labels[rows]).sum())
        return right / len(labels)


def _as_tensors(loader: DataLoader[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Everything that the loader gives: (N, C, H, W) float32 channels last, (N,) int64."""
    images, labels = zip(*loader, strict=True)
    return torch.cat(images).contiguous(memory_format=torch.channels_last), torch.cat(labels)
