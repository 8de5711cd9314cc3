"""Networks: what there is, how one is built, what of it is trained.

The registry, `lab.models.architecture.ARCHITECTURES`, imports the networks' modules when it is
first read. torchvision itself is imported only when one of its networks is built.
"""
