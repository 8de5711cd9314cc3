"""Files from the network, for data sets and pretrained weights alike.

    remote_file.py   what is wanted, and the sentence for each way in which it cannot be had
    part_file.py     what has arrived so far, and whether it is whole
    fetch.py         the transfer: retried, resumed, cancelled, checked

requests takes 0.07 s to import, and most runs and pages download nothing: callers import these
modules in the function that downloads.
"""
