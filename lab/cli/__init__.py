"""The command line: the same jobs as the pages, by the same engine, into the same store.

One file a command, with `add_arguments(parser)`, which also sets the function that performs it.
`main` imports the file of the requested command only. What brings torch (seconds) is imported by
the performing functions, so that help texts and mistyped options need not wait for it.
"""
