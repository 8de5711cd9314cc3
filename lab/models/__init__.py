"""Networks: what there is, how one is built, what of it is trained.

Importing this package fills the registry. torchvision itself is imported only when one of its
networks is built.
"""

# The order of registration is the order in every list: from simple to deep.
# isort: off
from lab.models import perceptrons  # noqa: F401
from lab.models import convnets  # noqa: F401
from lab.models import torchvision_nets  # noqa: F401
