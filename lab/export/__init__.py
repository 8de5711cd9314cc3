"""What a person takes away from a run: files that work without the lab.

formats.py        the registry: one entry a format
exporting.py      makes files, in the run's folder for the pages or where the command line says
provenance.py     what every file says of itself
onnx_file.py      the network as ONNX, in 32 and in 8 bits
                  (preprocessing: a picture's way into it, as nodes; proof: what ONNX Runtime
                  answers, beside what the lab answers)
script.py         the run as a PyTorch file and as a notebook, without the lab
                  (script_network: the network as code; pieces/: their text)
card.py           what a lab card says of a run; comparison_card.py, sweep_card.py: of several
                  (card_page, page_parts: the pages)
weights.py, dataset.py, everything.py     safetensors, folders a class, all in one zip
"""
