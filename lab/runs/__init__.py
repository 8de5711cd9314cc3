"""What was run, what runs now, what waits: the only meeting point of trainer and screen.

    store.py      the database: settings, figures, log and line of every run
                  (database: opening it; schema: its tables; rows: what it hands out; reading,
                  recording: its queries; status: who may change what; line: the order)
    recorder.py   a run's events, smoothed and written in batches
    queue.py      one active run a device, the others wait in line
                  (worker: one run from first to last word; here: the same without a queue, for the
                  command line; locks, recovery: who lives, who trains, who crashed)
    history.py    a run's curves, thinned for the screen

Nothing here imports torch until a run starts: the first page must come up without it.
"""
