"""Other analysers, run beside ours.  Each is optional and lives in an environment of its own.

`.local/peers/NAME/bin/python` (or the interpreter named on the command line) runs the adapter file
of that name as a script: paths come in on stdin, one JSON line an answer goes out.  Nothing here is
imported by the engine, and the adapters import nothing of ours.
"""
