"""Files from the network, for data sets and pretrained weights alike.

    remote_file.py   a file's address and facts, and a sentence for each way in which it fails
    part_file.py     the bytes received so far, and whether they are the whole file
    fetch.py         the transfer: retried, resumed, cancelled, checked
    hub.py           addresses on Hugging Face's hub, and what it refuses; huggingface_hub transfers

requests takes 0.07 s to import, and most runs and pages download nothing: callers import these
modules in the function that downloads.
"""
