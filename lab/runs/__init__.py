"""What was run, what runs now, what waits: the only meeting point of trainer and screen.

    store.py      the database: settings, metrics, log and queue position of every run
                  (database: opening it; schema: its tables; rows: what it returns; reading,
                  writing, curves: its queries; status: the states of a run; queue_order: positions)
    recorder.py   a run's events, smoothed and written in batches
    queue.py      one active run a device, the others wait in the queue
                  (worker: one run from preparation to end; foreground: the same without a queue,
                  for the command line; locks: which processes live, which of them trains)
    history.py    a run's curves, thinned for the screen

Nothing here imports torch until a run starts: the first page must come up without it.
"""
