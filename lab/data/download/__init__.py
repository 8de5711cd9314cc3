"""Public data sets from the network: resumable, checked, cancellable."""
